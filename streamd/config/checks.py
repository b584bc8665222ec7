"""Checks of single values that the core and the connectors share: addresses, URLs, files."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from streamd.config import Secret
from streamd.errors import Problem

# Scheme -> whether it is protected on its way; only loopback does without.
_PROTECTED = {"https": True, "wss": True, "http": False, "ws": False}
_HOST = re.compile(r"[a-z0-9_][a-z0-9_.-]*|[0-9a-f:.]+(%[\w.]+)?")
HTTP = ("https", "http")


def is_loopback(host: str) -> bool:
    """Tell whether `host` is this machine, by name or address, without asking a resolver."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def split_address(text: str) -> tuple[str, int]:
    """Read `host:port`, `[::1]:port` for IPv6. Raises ValueError that says what is allowed."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or (":" in host and not bracketed):
        raise ValueError("must be host:port, an IPv6 address in brackets")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError("must end in a port from 0 to 65535")
    if not bracketed and not all(mark.isalnum() or mark in "-._" for mark in host):
        raise ValueError("must be host:port and nothing else")
    if bracketed:
        ipaddress.IPv6Address(host[1:-1])
    return host.strip("[]"), int(port)


def check_address(text: str, path: str, *, any_port: bool) -> list[Problem]:
    """Find what is wrong with `host:port`; port 0 (any that is free) makes sense only to listen on."""
    try:
        _, port = split_address(text)
    except ValueError as error:
        return [Problem(path, str(error))]
    return [] if port or any_port else [Problem(path, "must end in a port from 1 to 65535")]


def warn_of_short(secret: Secret | None, least: int, harm: str, path: str) -> list[Problem]:
    """Say of a secret of fewer than `least` characters what whoever guesses it can do."""
    if secret is None or len(secret.reveal()) >= least:
        return []
    return [Problem(path, f"is short: whoever guesses it can {harm}; better 32 random characters")]


def check_base_url(
    url: str, path: str, insecure: bool | None = None, schemes: Collection[str] = HTTP
) -> list[Problem]:
    """Find what is wrong with the base URL of a server that we call.

    A scheme without TLS is taken on loopback, and elsewhere when `insecure` (None: there is no such key
    beside this one). Credentials, a query and a fragment have no place in it. The URL itself stays out of
    the texts, for it may hold a password by mistake.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        return [Problem(path, f"is no URL: {str(error).lower()}")]
    if parts.scheme not in schemes or not _HOST.fullmatch(host):
        allowed = " or ".join(f"{scheme}://host" for scheme in schemes)
        return [Problem(path, f"must be a URL that begins with {allowed}")]
    problems = _leftovers(parts, path)
    if not _PROTECTED[parts.scheme] and not is_loopback(host) and not insecure:
        remedy = "" if insecure is None else ", or set insecure = true"
        secure = "wss" if parts.scheme == "ws" else "https"
        problems.append(
            Problem(path, f"{parts.scheme}:// is accepted on loopback only; use {secure}://{remedy}")
        )
    return problems


def _leftovers(parts: SplitResult, path: str) -> list[Problem]:
    present = {
        "a user name or password": parts.username is not None or parts.password is not None,
        "a query": bool(parts.query),
        "a fragment": bool(parts.fragment),
    }
    return [Problem(path, f"must not hold {what}") for what, is_there in present.items() if is_there]
