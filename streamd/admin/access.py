"""Who may see the page and the status: whoever knows the token, where there is one."""

from __future__ import annotations

import base64
import binascii
import hmac

from streamd.config import Secret


def is_allowed(token: Secret | None, authorization: str | None) -> bool:
    """Tell whether an Authorization header brings the token.

    As Bearer for programs, or as the password of Basic with any user name, which is what a browser asks its
    user for. Compared in constant time. Without a configured token everyone is allowed: the configuration
    takes that on loopback only.
    """
    if token is None:
        return True
    scheme, _, value = (authorization or "").partition(" ")
    brought = value.strip().encode()
    if scheme.lower() == "basic":
        brought = _password(brought)
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(brought, token.reveal().encode())


def _password(credentials: bytes) -> bytes:
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
