"""Look into the PEM files that the configuration names, before anything needs them."""

from __future__ import annotations

import ssl
from pathlib import Path

from streamd.errors import Problem

_CERTIFICATE = "CERTIFICATE-----"
_KEY = "PRIVATE KEY-----"


def check_files(
    path: str, ca_file: str | None, certificate_file: str | None, key_file: str | None
) -> list[Problem]:
    """Find what is wrong with the three files of one table, whose TOML path is `path`.

    `key_file` may be left out where `certificate_file` holds the key too.
    """
    problems: list[Problem] = []
    if ca_file is not None:
        problems += _check_pem(f"{path}.ca_file", ca_file, _CERTIFICATE)
        if not problems:
            problems += _check_ca(f"{path}.ca_file", ca_file)
    if certificate_file is None:
        if key_file is not None:
            problems.append(Problem(f"{path}.certificate_file", "is missing: key_file needs it beside it"))
        return problems
    pair = _check_pem(f"{path}.certificate_file", certificate_file, _CERTIFICATE)
    if key_file is not None:
        pair += _check_pem(f"{path}.key_file", key_file, _KEY)
    elif not pair and _KEY not in _text(certificate_file):
        pair.append(
            Problem(f"{path}.key_file", "is missing: certificate_file needs it, for it holds no key itself")
        )
    return problems + (pair or _check_pair(path, certificate_file, key_file))


def distrust(certificate_file: str, key_file: str | None, host: str) -> str | None:
    """Say why a vendor with the usual trust store would not accept this server certificate; None: it would.

    OpenSSL alone knows, so the two sides of a TLS handshake are run against each other in memory.
    """
    client = ssl.create_default_context()
    try:
        _handshake(client, certificate_file, key_file, host)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    return None


def subject(certificate_file: str, key_file: str | None) -> str:
    """Give the certificate's subject as Kafka names the principal of a client that shows it (RFC 2253)."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # Its own certificate is the trust anchor: only then does `getpeercert` give the names that are in it.
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate_file)
    names = (_handshake(client, certificate_file, key_file, None) or {}).get("subject", ())
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escaped(text)}" for kind, text in part)
        for part in reversed(names)
    )


_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}


def _escaped(text: str) -> str:
    return "".join(f"\\{mark}" if mark in ',+"\\<>;' else mark for mark in text)


def _check_pem(path: str, file: str, label: str) -> list[Problem]:
    try:
        text = _text(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return [Problem(path, f"the file {file} cannot be read: {reason}")]
    if label not in text:
        what = "certificate" if label == _CERTIFICATE else "private key"
        return [Problem(path, f"the file {file} holds no {what} in PEM form")]
    return []


def _text(file: str) -> str:
    return Path(file).read_text("latin-1")


def _check_ca(path: str, file: str) -> list[Problem]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError as error:
        return [Problem(path, f"the file {file} holds no usable certificate: {_reason(error)}")]
    return []


def _check_pair(path: str, certificate_file: str, key_file: str | None) -> list[Problem]:
    try:
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate_file, key_file)
    except ssl.SSLError as error:
        where = f"{path}.certificate_file" if key_file is None else f"{path}.key_file"
        if error.reason == "KEY_VALUES_MISMATCH":
            return [Problem(where, "the key does not belong to the certificate")]
        return [
            Problem(where, f"certificate and key cannot be used ({_reason(error)}); is the key encrypted?")
        ]
    return []


def _load(context: ssl.SSLContext, certificate_file: str, key_file: str | None) -> None:
    # With a password at hand OpenSSL does not ask for one on the terminal, where the daemon would hang.
    context.load_cert_chain(certificate_file, key_file, password="")


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "not PEM").lower().replace("_", " ")


def _handshake(
    client_context: ssl.SSLContext, certificate_file: str, key_file: str | None, host: str | None
) -> ssl._PeerCertRetDictType | None:
    """Run a handshake in memory; give the server's certificate as the client sees it."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(server_context, certificate_file, key_file)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client.getpeercert()
