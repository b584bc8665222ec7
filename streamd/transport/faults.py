"""Why a network call failed, read out of what trio, anyio, httpcore and OpenSSL wrapped around it."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator

# OpenSSL's names of the alerts with which a server says that it does not trust our client certificate.
_OUR_CERTIFICATE_REFUSED = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)


def certificate_refusal(error: BaseException) -> str | None:
    """Say which certificate made a TLS connection fail, and why; None when `error` has another cause.

    Looks through the causes of `error`, for trio, anyio and httpcore each wrap what OpenSSL raised.
    """
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate of the server not accepted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError) and cause.reason in _OUR_CERTIFICATE_REFUSED:
            return f"client certificate not accepted by the server: {cause.reason}"
    return None


def fault_words(error: BaseException) -> str:
    """Say why a network call failed: the system's or OpenSSL's words, never an address or a URL."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {cause.reason or 'broken'}"
        if isinstance(cause, socket.gaierror):
            return str(cause.strerror)
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    return "connection lost"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and what caused it, outermost first; of a group the first exception."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            current = current.exceptions[0]
        else:
            current = current.__cause__ or current.__context__
