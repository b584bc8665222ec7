"""What is promised of the listener: TLS that renews itself, and an address that is had in the end."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable

import httpx
import pytest
import trio
from structlog.testing import capture_logs

from streamd.ingress.listener import Listener
from streamd.transport import renewal
from tests.core import free_port
from tests.ingress.conftest import Pair, Served, configured, echo


async def certificate_of(served: Served, pair: Pair) -> bytes | None:
    """Give the certificate that a new connection is served with."""
    async with await served.connect() as stream:
        tls = trio.SSLStream(stream, pair.client, server_hostname="localhost", https_compatible=True)
        await tls.do_handshake()
        return tls.getpeercert(binary_form=True)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        while not condition():
            await trio.sleep(0.01)


async def test_tls_is_served_to_the_vendors_client(start, pair):
    served: Served = await start(tls=pair.table)
    async with served.desk.claim("/a", echo), httpx.AsyncClient(verify=pair.client) as client:
        for _ in range(2):
            answer = await client.post(f"https://localhost:{served.port}/a", content=b"hello")
            assert (answer.status_code, answer.json()) == (200, {"bytes": 5})
            assert "server" not in answer.headers


async def test_a_renewed_certificate_is_taken_while_connections_go_on(start, pair, monkeypatch):
    monkeypatch.setattr(renewal, "LOOK_SECONDS", 0.02)
    served: Served = await start(tls=pair.table)
    url = f"https://localhost:{served.port}/a"
    async with served.desk.claim("/a", echo), httpx.AsyncClient(verify=pair.client) as client:
        assert (await client.post(url)).status_code == 200
        before = await certificate_of(served, pair)
        with capture_logs() as logs:
            pair.renew()
            await until(lambda: bool(logs))
        assert [line["event"] for line in logs] == ["certificate_renewed"]
        assert await certificate_of(served, pair) != before
        assert (await client.post(url)).status_code == 200


async def test_a_reload_looks_for_a_renewed_certificate_at_once(start, pair):
    served: Served = await start(tls=pair.table)
    before = await certificate_of(served, pair)
    with capture_logs() as logs:
        pair.renew()
        served.listener.reload(configured(tls=pair.table))
        await until(lambda: bool(logs))
    assert await certificate_of(served, pair) != before


@pytest.mark.parametrize("broken", ["not PEM", "another key", "empty", "gone"])
async def test_a_broken_new_pair_changes_nothing_and_is_told_once(start, pair, monkeypatch, broken):
    monkeypatch.setattr(renewal, "LOOK_SECONDS", 0.02)
    served: Served = await start(tls=pair.table)
    before = await certificate_of(served, pair)
    with capture_logs() as logs:
        if broken == "gone":
            pair.key.unlink()
        elif broken == "another key":
            pair.key.write_bytes(pair.authority.issue_cert("localhost").private_key_pem.bytes())
        else:
            pair.certificate.write_text("" if broken == "empty" else "-----BEGIN CERTIFICATE-----\nx\n")
        await until(lambda: bool(logs))
        await trio.sleep(0.1)
        assert [line["event"] for line in logs] == ["certificate_unusable"]
        assert await certificate_of(served, pair) == before
        pair.renew()
        await until(lambda: logs[-1]["event"] == "certificate_renewed")
    assert await certificate_of(served, pair) != before


async def test_a_pair_is_not_taken_before_its_second_file_is_there(pair):
    certificate = renewal.Certificate(str(pair.certificate), str(pair.key))
    before, key = certificate.context, pair.key.read_bytes()
    with capture_logs() as logs:
        pair.renew()
        new_key = pair.key.read_bytes()
        pair.key.write_bytes(key)
        certificate._renew(settled=False)
        os.utime(pair.key, (1, 1))
        certificate._renew(settled=False)
        pair.key.write_bytes(new_key)
        certificate._renew(settled=False)
        assert certificate.context is before
        certificate._renew(settled=False)
        assert certificate.context is not before
    assert [line["event"] for line in logs] == ["certificate_renewed"]


async def test_a_client_that_does_not_trust_us_or_speaks_no_tls_is_logged_and_disturbs_nobody(start, pair):
    served: Served = await start(tls=pair.table)
    with capture_logs() as logs:
        # Not over trio, whose streams do not send the alert.
        with pytest.raises(ssl.SSLCertVerificationError):
            await trio.to_thread.run_sync(_shake_hands_without_trust, served.port)
        assert await served.ask(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n") == b""
        await until(lambda: len(logs) == 2)
    assert [line["reason"] for line in logs] == ["TLS: TLSV1_ALERT_UNKNOWN_CA", "TLS: HTTP_REQUEST"]
    async with served.desk.claim("/a", echo), httpx.AsyncClient(verify=pair.client) as client:
        assert (await client.post(f"https://localhost:{served.port}/a")).status_code == 200


def _shake_hands_without_trust(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as plain:
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")


async def test_old_tls_is_refused(start, pair):
    served: Served = await start(tls=pair.table)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        pair.client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(trio.BrokenResourceError):
        await certificate_of(served, pair)


async def test_an_address_in_use_is_trouble_until_it_is_free_and_logged_once(bell, nursery, monkeypatch):
    monkeypatch.setattr("streamd.ingress.listener._FIRST_WAIT", 0.02)
    port = free_port()
    (other,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
    listener = Listener(configured(listen=f"127.0.0.1:{port}"))
    with capture_logs() as logs:
        await nursery.start(listener.run)
        assert listener.trouble == f"cannot listen on 127.0.0.1:{port}: Address already in use"
        await trio.sleep(0.1)
        await other.aclose()
        await until(lambda: listener.trouble is None)
    assert [line["event"] for line in logs] == ["ingress_unbound", "ingress_listening"]
    assert b" 503 " in await Served(listener).post()


async def test_a_certificate_that_cannot_be_used_is_trouble_until_it_can(bell, nursery, monkeypatch, pair):
    monkeypatch.setattr("streamd.ingress.listener._FIRST_WAIT", 0.02)
    pair.certificate.unlink()
    listener = Listener(configured(tls=pair.table))
    await nursery.start(listener.run)
    assert listener.trouble == "certificate_file: cannot be used: No such file or directory"
    pair.renew()
    await until(lambda: listener.trouble is None)
    assert await certificate_of(Served(listener), pair)
