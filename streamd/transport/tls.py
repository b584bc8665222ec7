"""TLS contexts from the connector's own files, and the one place that reads certificate failures."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from streamd.errors import ConfigError, Problem

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


def client_context(
    ca_file: str | None = None, certificate_file: str | None = None, key_file: str | None = None
) -> ssl.SSLContext:
    """Make the context that verifies servers, and shows a client certificate where one is given.

    `ca_file` (PEM) replaces the system's trust store. `key_file` may be left out when `certificate_file`
    holds the key too. Raises ConfigError naming the key whose file cannot be read or used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("ca_file", error) from error
    if certificate_file is not None:
        try:
            context.load_cert_chain(certificate_file, key_file, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("certificate_file", error) from error
    return context


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


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _no_password() -> bytes:
    # Without a callback OpenSSL would ask for the key's passphrase on the terminal and hang the daemon.
    return b""


def _unusable(key: str, error: Exception) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return ConfigError([Problem(key, f"cannot be used: {reason}")])
