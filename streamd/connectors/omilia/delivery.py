"""Where Omilia is to push, and how it is told so: one subscription of each data type (vendors/omilia.md, 2).

The list of subscriptions echoes neither token endpoint, secret nor headers. So a fingerprint of all settings
stands in `schema_name`, which the list has and every push: drift is seen without local state, and a late
batch of a subscription that was replaced is told from one of its successor.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from streamd.config import Secret
from streamd.connectors.omilia.config import GENERATION_HEADER, MOST_HEADERS, OmiliaConfig

_DIGITS = 10
# Whoever sees the fingerprint (it is in every list and envelope) must not be able to try secrets quickly.
_ROUNDS = 100_000
_NAME = re.compile(
    r"streamd_(?P<type>[a-z][a-z0-9_]*)_g(?P<generation>\d{1,6})_(?P<fingerprint>[0-9a-f]{10})"
)


class SchemaName(Struct, frozen=True):
    """What a `schema_name` of our making says."""

    data_type: str
    generation: int
    fingerprint: str


class Delivery(Struct, frozen=True, dict=True):
    """How one data type is delivered; `path` and `token_path` are whole URLs, `headers` the operator's."""

    data_type: str
    path: str
    token_path: str
    auth_id: str
    auth_secret: Secret
    auth_scope: str | None
    custom_headers: Mapping[str, str]

    @cached_property
    def fingerprint(self) -> str:
        """Give ten hex digits that stand for all settings, the secret too."""
        settings = {**msgspec.structs.asdict(self), "auth_secret": None}
        secret = self.auth_secret.reveal().encode()
        key = hashlib.pbkdf2_hmac("sha256", secret, b"streamd omilia subscription", _ROUNDS)
        text = msgspec.json.encode(settings, order="deterministic")
        return hmac.digest(key, text, "sha256").hex()[:_DIGITS]

    def schema_name(self, generation: int) -> str:
        """Name the subscription: at most 63 characters, as `parse_schema_name` reads it."""
        return f"streamd_{self.data_type}_g{generation}_{self.fingerprint}"

    def wire(self, generation: int) -> dict[str, Any]:
        """Give the body of the request that creates the subscription; it holds the secret."""
        headers = dict(self.custom_headers)
        if len(headers) < MOST_HEADERS:
            headers[GENERATION_HEADER] = f"g{generation}"
        delivery = {
            "type": urlsplit(self.path).scheme,
            "path": self.path,
            "auth_type": "oauth2",
            "auth_id": self.auth_id,
            "auth_secret": self.auth_secret.reveal(),
            "token_path": self.token_path,
            "custom_headers": headers,
        }
        if self.auth_scope is not None:
            delivery["auth_scope"] = self.auth_scope
        return {
            "data_type": self.data_type,
            "schema_name": self.schema_name(generation),
            "delivery": delivery,
        }


def parse_schema_name(text: str) -> SchemaName | None:
    """Read a `schema_name`; None when it is not of our making."""
    found = _NAME.fullmatch(text)
    return SchemaName(found["type"], int(found["generation"]), found["fingerprint"]) if found else None


def prefix(config: OmiliaConfig) -> str:
    """Give the path below which the connector is pushed to."""
    return config.ingress_prefix or f"/omilia/{config.group}/"


def callback_path(config: OmiliaConfig, data_type: str) -> str:
    """Give the path of one data type's callback."""
    return f"{prefix(config)}{data_type}"


def token_path(config: OmiliaConfig) -> str:
    """Give the path of the token endpoint; no data type has its name."""
    return f"{prefix(config)}oauth/token"


def ingress_paths(config: OmiliaConfig) -> list[str]:
    """Give every path that the connector claims."""
    callbacks = [callback_path(config, each) for each in config.data_types]
    return callbacks if config.external else [*callbacks, token_path(config)]


def own_paths(config: OmiliaConfig, url: Callable[[str], str]) -> str:
    """Give what the URL of every callback of ours begins with; `url` is the ingress's."""
    return url(prefix(config))


def token_url(config: OmiliaConfig, url: Callable[[str], str]) -> str | None:
    """Give where Omilia gets its tokens; None: the external issuer is to be asked (discovery.py)."""
    return config.token_url if config.external else url(token_path(config))


def deliveries(config: OmiliaConfig, url: Callable[[str], str], endpoint: str) -> dict[str, Delivery]:
    """Give what is to be subscribed to, by data type; `endpoint` issues the tokens."""
    return {
        each: Delivery(
            data_type=each,
            path=url(callback_path(config, each)),
            token_path=endpoint,
            auth_id=config.auth_id,
            auth_secret=config.auth_secret,
            auth_scope=config.auth_scope,
            custom_headers=config.custom_headers,
        )
        for each in config.data_types
    }
