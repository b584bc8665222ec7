"""Sign and check with auth-v2, the HMAC of CC-FS (vendors/huawei_aicc.md section 1)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from msgspec import Struct

SCHEME = "auth-v2"
THREE_HEADERS = ("content-length", "content-type", "host")


class Signed(Struct, frozen=True):
    """What is signed of a request; `headers` by lower-case name, only those that are signed."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    query: Sequence[tuple[str, str]] = ()


class Credential(Struct, frozen=True):
    """An Authorization value, taken apart."""

    access_key: str
    timestamp: str
    names: Sequence[str]
    signature: str


def authorization(signed: Signed, access_key: str, secret_key: str, timestamp: str) -> str:
    """Return the value of the Authorization header."""
    prefix = _prefix(access_key, timestamp, sorted(signed.headers))
    return f"{prefix}/{signature(signed, access_key, secret_key, timestamp)}"


def signature(signed: Signed, access_key: str, secret_key: str, timestamp: str) -> str:
    """Return the signature: the key of the second HMAC is the first one's hex text (P1, P2)."""
    key = _hex(secret_key, _prefix(access_key, timestamp, sorted(signed.headers)))
    return _hex(key, canonical(signed))


def canonical(signed: Signed) -> str:
    """Return the canonical request; without a query there is no line for it, without a body an empty one."""
    lines = [signed.method, signed.path]
    if signed.query:
        lines.append("&".join(sorted(f"{_percent(name)}={_percent(value)}" for name, value in signed.query)))
    lines.append(";".join(sorted(signed.headers)))
    lines.extend(sorted(f"{_percent(name)}:{_percent(value)}" for name, value in signed.headers.items()))
    return "\n".join([*lines, quote(signed.body, safe="")])


def read_authorization(text: str) -> Credential | None:
    """Take an Authorization value apart; None: it is none of auth-v2."""
    parts = text.split("/")
    if len(parts) != 5 or parts[0] != SCHEME or not all(parts):
        return None
    return Credential(parts[1], parts[2], parts[3].split(";"), parts[4])


def matches(credential: Credential, signed: Signed, secret_key: str) -> bool:
    expected = signature(signed, credential.access_key, secret_key, credential.timestamp)
    return hmac.compare_digest(expected.encode(), credential.signature.encode())


def spell(seconds: float, *, millis: bool = False) -> str:
    """Return the timestamp of a signature; some samples carry milliseconds (P4)."""
    moment = datetime.fromtimestamp(seconds, UTC)
    text = moment.isoformat(timespec="milliseconds" if millis else "seconds")
    return text.replace("+00:00", "Z")


def read_timestamp(text: str) -> float | None:
    """Return epoch seconds; None: it is no UTC instant."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if text.endswith("Z") else None


def chosen(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str] | None:
    """Return the headers that `names` lists; None: one is missing."""
    found = {name: headers.get(name) for name in names}
    present = {name: value.strip() for name, value in found.items() if value is not None}
    return present if len(present) == len(found) else None


def _prefix(access_key: str, timestamp: str, names: Sequence[str]) -> str:
    return f"{SCHEME}/{access_key}/{timestamp}/{';'.join(names)}"


def _percent(text: str) -> str:
    return quote(text, safe="")


def _hex(key: str, message: str) -> str:
    return hmac.digest(key.encode(), message.encode(), "sha256").hex()
