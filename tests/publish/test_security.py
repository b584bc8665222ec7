"""Why a connection is refused is said in Kafka's or TLS's own words, and no secret is in them."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trio
import trustme

from streamd.config import KafkaConfig, Secret
from streamd.errors import Rejected, Transient
from streamd.publish.kafka import describe, probe

OAUTH = {
    "sasl.enabled.mechanisms": "PLAIN,OAUTHBEARER",
    "listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config": (
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
        'unsecuredLoginStringClaim_sub="broker";'
    ),
}


async def test_a_server_that_is_not_there_is_transient_with_the_reason() -> None:
    config = KafkaConfig(bootstrap_servers=["127.0.0.1:1"])
    with pytest.raises(Transient, match=r"127.0.0.1:1: ConnectionRefusedError"):
        await probe(config)
    with pytest.raises(Transient, match=r"127.0.0.1:1: ConnectionRefusedError"):
        await describe(config, {})


async def test_one_server_of_several_will_do(embedded_kafka) -> None:
    await probe(KafkaConfig(bootstrap_servers=["127.0.0.1:1", *embedded_kafka.bootstrap_servers]))


async def test_a_certificate_of_another_authority_is_rejected_as_such(tmp_path: Path, nursery) -> None:
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(served)
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    serve = trio.serve_ssl_over_tcp
    listeners = await nursery.start(
        lambda task_status: serve(_answer_nothing, 0, served, host="localhost", task_status=task_status)
    )
    port = listeners[0].transport_listener.socket.getsockname()[1]
    config = KafkaConfig(
        bootstrap_servers=[f"localhost:{port}"], security_protocol="SSL", ca_file=str(tmp_path / "ca.pem")
    )
    with pytest.raises(Rejected, match="certificate verify failed"):
        await probe(config)
    nursery.cancel_scope.cancel()


async def _answer_nothing(stream: trio.SSLStream[trio.SocketStream]) -> None:
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError:
        return


async def test_a_certificate_file_that_is_missing_is_named(connect, status_with, embedded_kafka) -> None:
    keys = {"security_protocol": "SSL", "ca_file": "/nowhere/ca.pem"}
    with pytest.raises(Rejected, match=r"/nowhere/ca.pem: No such file"):
        await probe(KafkaConfig(bootstrap_servers=embedded_kafka.bootstrap_servers, **keys))
    kafka = await connect(embedded_kafka.bootstrap_servers, **keys)
    await status_with(kafka, lambda status: "No such file" in str(status.reason))


class Tokens(HTTPServer):
    """An identity provider: gives unsecured tokens for `subject`, or refuses, or answers nonsense."""

    subject: str | None = "streamd"
    nonsense = False
    given = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/token"


class Answer(BaseHTTPRequestHandler):
    server: Tokens

    def do_POST(self) -> None:
        login = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.nonsense:
            self._say(200, b"<html>")
        elif login != "me:s3cret" or self.server.subject is None:
            self._say(401, b"{}")
        else:
            self.server.given += 1
            self._say(
                200, json.dumps({"access_token": token(self.server.subject), "expires_in": 3600}).encode()
            )

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


def token(subject: str) -> str:
    claims = {"sub": subject, "iat": 1_700_000_000, "exp": 4_000_000_000}
    if subject == "expired":
        claims["exp"] = 1_700_000_100
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


@pytest.fixture
def tokens() -> Iterator[Tokens]:
    with Tokens(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_oauthbearer_connects_and_says_when_a_token_is_refused(
    connect, open_real_kafka, make_records, status_with, tokens: Tokens
) -> None:
    cluster = await trio.to_thread.run_sync(lambda: open_real_kafka(users={"streamd": "x"}, properties=OAUTH))
    await trio.to_thread.run_sync(cluster.create_topic, "t")
    await trio.to_thread.run_sync(cluster.allow, "streamd", "WRITE", "t")
    keys = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauth_token_url": tokens.url,
        "sasl_oauth_client_id": "me",
        "sasl_oauth_client_secret": Secret("s3cret"),
    }
    config = KafkaConfig(bootstrap_servers=cluster.sasl_bootstrap_servers, **keys)
    tokens.subject = "expired"
    with pytest.raises(Rejected, match=r"OAUTHBEARER token refused: .*invalid_token"):
        await probe(config)
    kafka = await connect(cluster.sasl_bootstrap_servers, **keys)
    await status_with(kafka, lambda status: "OAUTHBEARER token refused" in str(status.reason))
    tokens.subject = None
    with pytest.raises(Rejected, match="refuses a token: 401"):
        await probe(config)
    tokens.nonsense = True
    with pytest.raises(Transient, match="what is no token"):
        await probe(config)
    tokens.subject, tokens.nonsense = "streamd", False
    with trio.fail_after(30):
        await kafka.publish("t", 0, make_records(0, 3))
    assert kafka.status().connected
    assert "s3cret" not in repr(config)
