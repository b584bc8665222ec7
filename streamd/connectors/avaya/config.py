"""The table of an Avaya connector, and what its types cannot express."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from msgspec import Meta, field

from streamd.config import ConnectorConfig, Count, Positive, PrivacyConfig, Rules, Secret
from streamd.config.checks import is_loopback
from streamd.errors import Problem

Name = Annotated[str, Meta(min_length=1)]
_ACCOUNT_ID = re.compile(r"[A-Za-z]{6}")
_MAX_PRODUCER_ID, _MAX_EXTENSIONS, _MAX_EXTENSION = 36, 50, 256
_NAMES = ("measures.agentFirstName", "measures.agentLastName", "measures.agentDisplayName")


class AvayaPrivacy(PrivacyConfig, frozen=True, forbid_unknown_fields=True):
    """What never leaves the building. `defaults` masks what agents are called. It is off, for a
    measure is published as it came (vendors/avaya.md, section 3, trap 6: "offer")."""

    defaults: bool = False

    def by_default(self) -> Rules:
        """Mask the agents' names, if that was asked for."""
        return Rules(mask=self.unnamed(_NAMES) if self.defaults else ())


class AvayaConfig(ConnectorConfig, frozen=True, kw_only=True):
    """The keys of an Avaya connector, in Avaya's words (INTERFACE.md); the defaults are the contract's."""

    base_url: str
    account_id: str
    client_id: Name
    client_secret: Secret
    appkey: Secret
    measure_producers: list[str]
    endpoint_hosts: list[str] | None = None
    """Host suffixes to which a token may be sent over a websocket. None: the base URL's own domain."""
    snapshot_quiet_seconds: Positive = 10.0
    snapshot_limit_seconds: Positive = 120.0
    snapshot_settle_seconds: Positive = 2.0
    """How long no INITIALIZING may follow a LIVE before that LIVE proves the snapshot whole."""
    snapshot_proof_seconds: Positive = 30.0
    """How long a quiet proves the snapshot whole where no LIVE comes."""
    delete_on_shutdown: bool = False
    websocket_engine: Literal["trio-websocket", "sans-io"] = "trio-websocket"
    extensions: dict[str, str] = field(default_factory=dict)
    """Sent with each subscription beside `measureProducerId`."""
    websocket_headers: dict[str, Secret] = field(default_factory=dict)
    """Extra headers of the upgrade request; whether Avaya wants any is not documented."""
    reauth_on_refresh: bool = False
    """Send `authentication` again on the open socket after each renewal: undocumented, so off."""
    single_owner: bool = False
    """Nobody else subscribes with this account: what a lost POST may have left behind can be deleted."""
    ping_interval_seconds: Positive | None = None
    """None: a third of the subscription's pingInterval, at most 10 s."""
    pong_timeout_seconds: Positive = 10.0
    authentication_timeout_seconds: Positive = 15.0
    activation_limit_seconds: Positive = 120.0
    """How long a subscription may stay PENDING before it is deleted and made anew."""
    requests_per_second: Positive = 5.0
    """REST calls of the account, all producers together."""
    catalogue_hours: Positive = 24.0
    """How often the catalogue of measures is read again."""
    max_message_bytes: Count = 16 * 1024**2
    privacy: AvayaPrivacy = AvayaPrivacy()


def _allows(config: AvayaConfig, host: str) -> bool:
    """Say whether a token may go to `host`: a configured suffix, else one of the base URL's own domain.

    The websocket lives on `{region}.cc.avayacloud.com` while REST is on `{region}.api.avayacloud.com`, so
    the domain is the last two labels; for an address it is that address, and on loopback all of loopback.
    Suffixes match on whole labels: `avayacloud.com` allows `eu.cc.avayacloud.com`, not `evilavayacloud.com`.
    """
    if config.endpoint_hosts is not None:
        suffixes = [suffix.lower().lstrip(".") for suffix in config.endpoint_hosts]
    else:
        base = (urlsplit(config.base_url).hostname or "").lower()
        if is_loopback(base):
            return is_loopback(host)
        suffixes = [base if _is_address(base) else ".".join(base.split(".")[-2:])]
    return any(host == suffix or host.endswith(f".{suffix}") for suffix in suffixes)


def endpoint_refusal(config: AvayaConfig, endpoint: str) -> str | None:
    """Say why no token may be sent to `endpoint`, a URL that the server gave; None when it may."""
    parts = _split(endpoint)
    if parts is None or not parts.hostname:
        return "the endpoint is no URL"
    host = parts.hostname.lower().rstrip(".")
    if parts.username is not None or parts.password is not None:
        return "the endpoint carries credentials"
    if not _allows(config, host):
        return f"the endpoint's host {host} is not in endpoint_hosts"
    if parts.scheme == "wss" or (parts.scheme == "ws" and (config.insecure or is_loopback(host))):
        return None
    return f"the endpoint's scheme {parts.scheme or '(none)'} is not wss"


def check(config: AvayaConfig, path: str) -> Sequence[Problem]:
    """Find what is wrong with a table whose types are right; `path` is the table's TOML path."""
    return [Problem(f"{path}.{key}", message) for key, message in _problems(config)]


def _problems(config: AvayaConfig) -> Iterator[tuple[str, str]]:
    yield from _base_url_problems(config)
    if not _ACCOUNT_ID.fullmatch(config.account_id):
        yield "account_id", "must be exactly 6 letters"
    for key in ("client_secret", "appkey"):
        if not getattr(config, key).reveal():
            yield key, "must not be empty"
    yield from _producer_problems(config.measure_producers)
    yield from _extension_problems(config.extensions)
    yield from _endpoint_host_problems(config.endpoint_hosts)
    if config.retry_max_seconds < config.retry_min_seconds:
        yield "retry_max_seconds", "must not be less than retry_min_seconds"


def _base_url_problems(config: AvayaConfig) -> Iterator[tuple[str, str]]:
    parts = _split(config.base_url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        yield "base_url", "must be a URL such as https://eu.api.avayacloud.com"
        return
    if parts.scheme == "http" and not (config.insecure or is_loopback(parts.hostname)):
        yield "base_url", "must be https beyond loopback, or set insecure = true"
    if parts.username is not None or parts.query or parts.fragment:
        yield "base_url", "must not carry credentials, a query or a fragment"


def _producer_problems(producers: Sequence[str]) -> Iterator[tuple[str, str]]:
    if not producers:
        yield "measure_producers", 'must name at least one producer, such as "Agent_itd_1.0.0"'
    for index, producer in enumerate(producers):
        if not 0 < len(producer) <= _MAX_PRODUCER_ID:
            yield f"measure_producers[{index}]", f"must have 1 to {_MAX_PRODUCER_ID} characters"
        if producer in producers[:index]:
            yield f"measure_producers[{index}]", "stands there twice"


def _extension_problems(extensions: dict[str, str]) -> Iterator[tuple[str, str]]:
    if len(extensions) >= _MAX_EXTENSIONS:
        yield "extensions", f"must be fewer than {_MAX_EXTENSIONS}, measureProducerId is one of them"
    for name, value in extensions.items():
        if name == "measureProducerId":
            yield "extensions.measureProducerId", "is set from measure_producers"
        if len(value) > _MAX_EXTENSION:
            yield f"extensions.{name}", f"must have at most {_MAX_EXTENSION} characters"


def _endpoint_host_problems(hosts: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    if hosts is not None and not hosts:
        yield "endpoint_hosts", "must name at least one host suffix; leave it out for the default"
    for index, host in enumerate(hosts or ()):
        if not host.strip(".") or "/" in host or "*" in host:
            yield f"endpoint_hosts[{index}]", "must be a host or its last labels, such as avayacloud.com"


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # a port that is no number raises only when asked for
    except ValueError:
        return None
    return parts


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
