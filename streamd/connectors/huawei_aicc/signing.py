"""Sign requests with auth-v2 and verify those of callbacks (vendors/huawei_aicc.md, section 1); pure.

The same pair of keys signs in both directions. There is no nonce: what protects against replay is the window
around the timestamp, and that a callback may only flip a job that is known.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from itertools import product
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from streamd.config import Secret

CONTENT_TYPE: Final = "application/json;charset=UTF-8"
"""As the samples spell it; signed and sent byte for byte."""
_SCHEME = "auth-v2"
_TIMESTAMP = "%Y-%m-%dT%H:%M:%SZ"
_UNRESERVED = "-._~"
_AUTHORIZATION = re.compile(
    r"auth-v2/(?P<key>[^/\s]+)/(?P<at>[0-9TZ:.+-]+)/(?P<names>[^/\s]+)/(?P<signature>[0-9a-fA-F]{64})"
)


class Keys(Struct, frozen=True):
    """The developer's pair: the access key (AK, its appId) and the secret key (SK)."""

    access: str
    secret: Secret

    def __repr__(self) -> str:
        return "Keys(***)"


class Message(Struct, frozen=True):
    """A request as it is signed. `path` is raw, without the query; `query` are its pairs, decoded."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Sequence[tuple[str, str]] = ()


class Verdict(Enum):
    """What verifying came to."""

    GOOD = "good"
    UNSIGNED = "unsigned"  # no Authorization, or none of this scheme
    STRANGER = "stranger"  # another developer's access key
    EXPIRED = "expired"  # a timestamp outside the window
    FORGED = "forged"  # the signature is not that of what came


def sign(keys: Keys, message: Message, at: datetime) -> str:
    """Give the Authorization of `message`; signed are the headers that it carries."""
    names = ";".join(sorted(name.lower() for name in message.headers))
    prefix = f"{_SCHEME}/{keys.access}/{at.astimezone(UTC).strftime(_TIMESTAMP)}/{names}"
    return f"{prefix}/{_signature(keys, prefix, canonical(message))}"


def verify(
    keys: Keys,
    authorization: str,
    message: Message,
    now: datetime,
    *,
    hosts: Iterable[str],
    paths: Iterable[str],
    skew_seconds: float,
) -> Verdict:
    """Judge what came with `authorization`; the list of signed headers is taken from that itself.

    `hosts` and `paths` are what the sender may have signed as such: nothing found says which form it is, and
    each still needs the secret (section 3). A path with a query in it has no line for that. Compared in
    constant time, every candidate.
    """
    # Samples break the line inside the value, and an integrator met it (P6): blanks mean nothing here.
    written = _AUTHORIZATION.fullmatch("".join(authorization.split()))
    if written is None:
        return Verdict.UNSIGNED
    if not hmac.compare_digest(written["key"].encode(), keys.access.encode()):
        return Verdict.STRANGER
    names = written["names"].lower().split(";")
    headers = {name: message.headers.get(name, "").strip() for name in names}
    prefix = f"{_SCHEME}/{written['key']}/{written['at']}/{written['names']}"
    good = False
    for host, path in product(dict.fromkeys(hosts), dict.fromkeys(paths)):
        signed = {name: host if name == "host" else value for name, value in headers.items()}
        query = () if "?" in path else message.query
        candidate = canonical(Message(message.method, path, signed, message.body, query))
        good |= hmac.compare_digest(_signature(keys, prefix, candidate), written["signature"].lower())
    if not good or "host" not in names:
        return Verdict.FORGED
    return Verdict.GOOD if _is_fresh(written["at"], now, skew_seconds) else Verdict.EXPIRED


def canonical(message: Message) -> str:
    """Write a request in canonical form: without a query no line for it, the body percent-encoded whole."""
    headers = sorted(f"{_pct(name.lower())}:{_pct(value)}" for name, value in message.headers.items())
    query = "&".join(sorted(f"{_pct(name)}={_pct(value)}" for name, value in message.query))
    names = ";".join(sorted(name.lower() for name in message.headers))
    lines = [message.method, message.path, *([query] if query else []), names, *headers, _pct(message.body)]
    return "\n".join(lines)


def _signature(keys: Keys, prefix: str, text: str) -> str:
    # The second HMAC is keyed with the hex text of the first, not with its 32 bytes (P1, P2).
    signing_key = hmac.digest(keys.secret.reveal().encode(), prefix.encode(), "sha256").hex()
    return hmac.digest(signing_key.encode(), text.encode(errors="surrogatepass"), "sha256").hex()


def _pct(text: str | bytes) -> str:
    content = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    return quote(content, safe=_UNRESERVED)


def _is_fresh(written: str, now: datetime, skew_seconds: float) -> bool:
    """Tell whether a timestamp, with or without milliseconds (P4), is within the window around now."""
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        return False
    return at.tzinfo is not None and abs((now - at).total_seconds()) <= skew_seconds
