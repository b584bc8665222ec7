"""No secret and no token is in anything that streamd writes or shows, whatever the vendor throws back."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import trio

from streamd.simulators.avaya import AvayaOptions, AvayaSimulator, open_avaya_simulator
from streamd.simulators.avaya.wire import Message
from streamd.simulators.http import Request, Response, serve_connection
from tests import judge
from tests.core import free_port
from tests.integration.conftest import Site

QUEUE = "Queue_itd_1.0.0"
SECRETS = {
    "client_secret": "cl13nt-s3cret/with=signs&more",
    "appkey": "4ppk3y-0f-the-account",
    "websocket_header": "h3ader-0f-the-upgrade",
    "hash_key": "h4sh-k3y-of-the-privacy",
    "admin_token": "t0ken-of-the-admin-page",
}
HEX = 40  # so many characters of a token are as bad as all of it


class Parrot:
    """Stands before the simulator's REST side and, now and then, answers with what it was asked.

    `tokens`: all that were handed out.
    """

    def __init__(self, avaya: AvayaSimulator, http: httpx.AsyncClient) -> None:
        self.tokens: list[str] = []
        self._avaya = avaya
        self._http = http
        self._asked: Counter[str] = Counter()

    async def respond(self, request: Request) -> Response:
        what = request.path.rpartition("/")[2].partition("?")[0]
        self._asked[what] += 1
        rude = _rude(what, self._asked[what], request)
        return rude or await self._forwarded(request)

    async def _forwarded(self, request: Request) -> Response:
        headers = {
            name: value for name, value in request.headers.items() if name not in ("host", "content-length")
        }
        url = f"{self._avaya.base_url}{request.path}?{urlencode(request.query)}"
        answer = await self._http.request(request.method, url, headers=headers, content=request.body)
        if request.path.endswith("/token") and answer.status_code == 200:
            self.tokens += [answer.json()["access_token"], answer.json()["refresh_token"]]
        kind = answer.headers.get("content-type", "application/json")
        return Response(answer.status_code, answer.content, kind)


def _rude(what: str, number: int, request: Request) -> Response | None:
    heard = f"{request.body.decode()} appkey={request.headers.get('appkey')}"
    bearer = request.headers.get("authorization", "")
    answers = {
        ("token", 1): (500, {"title": heard, "detail": f"you said: {heard}"}),
        ("token", 2): (502, f"<html>{heard}</html>"),
        ("subscriptions", 1): (500, {"detail": f"{bearer} is not welcome: {'x' * 120}"}),
        ("subscriptions", 2): (503, f"<pre>{bearer}</pre>"),
        ("subscriptions", 3): (401, {"detail": f"{bearer} (Access-Token)"}),
        ("subscriptions", 4): (
            400,
            {"detail": f"{bearer} {'x' * 120}", "violations": [{"field": bearer, "code": heard}]},
        ),
    }
    found = answers.get((what, number))
    if found is None:
        return None
    status, body = found
    if isinstance(body, str):
        return Response(status, body.encode(), "text/html")
    return Response(status, json.dumps(body).encode(), "application/problem+json")


@asynccontextmanager
async def open_parrot(avaya: AvayaSimulator) -> AsyncIterator[tuple[Parrot, str]]:
    """Yield it with its base URL."""
    async with httpx.AsyncClient(trust_env=False, verify=False) as http, trio.open_nursery() as nursery:
        parrot = Parrot(avaya, http)
        serve = partial(
            trio.serve_tcp, partial(serve_connection, respond=parrot.respond), 0, host="127.0.0.1"
        )
        [listener] = await nursery.start(serve)
        yield parrot, f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


def say(avaya: AvayaSimulator, text: str) -> None:
    """Send a text frame on every socket."""
    for session in avaya.sockets:
        session.outgoing.put([Message(text.encode(), QUEUE, (), "", "", "", odd=True)])


async def test_nothing_that_is_written_or_shown_has_a_secret_or_a_token_in_it(site: Site) -> None:
    port = free_port()
    options = AvayaOptions(
        keys=10,
        rate=50,
        producers=(QUEUE,),
        client_secret=SECRETS["client_secret"],
        appkey=SECRETS["appkey"],
    )
    async with open_avaya_simulator(options) as avaya, open_parrot(avaya) as (parrot, url):
        daemon = site.daemon("")
        daemon.kafka = daemon.kafka.replace("'127.0.0.1:0'", f"'127.0.0.1:{port}'")
        daemon.configure(_tables(avaya, url))
        daemon.start()
        await daemon.until("refused")
        shown = [await _shown(port), repr(await daemon.status())]
        await daemon.restart("avaya-sim")
        await daemon.until("live")
        for token in list(parrot.tokens):
            say(avaya, f'{{"event":"notice","text":"your token is {token}"}}')
            say(avaya, f'{{"token":"{token}","keys":{{"queueId":7}}')
        await daemon.complete()
        last = max(session.number for session in avaya.sockets)
        say(avaya, f'{{"event":"authenticationResponse","status":"NOT {parrot.tokens[-2]}"}}')
        with trio.fail_after(60):
            while all(session.number <= last for session in avaya.sockets):
                await trio.sleep(0.05)
        await daemon.until("live")
        daemon.kill()  # as it stands, the write-ahead log too
        written = dict(_files(daemon.state))
        daemon.start()
        await daemon.until("live")
        shown += [await _shown(port), repr(await daemon.status())]
        avaya.set_rate(0)
        await daemon.complete()
        assert await daemon.stop() == 0, daemon.tail()
    topics = await trio.to_thread.run_sync(site.read)
    letters = judge.events(topics["streamd.dead-letter"])
    assert len(letters) >= 2
    everything = {
        **{f"topic {topic}": _bytes(records) for topic, records in topics.items()},
        "payloads": b"\n".join(base64.b64decode(each["data"].get("payload_base64", "")) for each in letters),
        "log": daemon.log.read_bytes(),
        "status, metrics and page": "\n".join(shown).encode(),
        **written,
        **dict(_files(daemon.state)),
    }
    assert b"link_refused" in everything["log"]
    assert parrot.tokens
    leaks = sorted(_found(everything, [*SECRETS.values(), *parrot.tokens]))
    assert not leaks, "\n".join(map(str, leaks))


async def test_a_password_that_kafka_refuses_is_in_no_word_about_that(
    open_real_kafka: Callable[..., Any], own_site: Callable[[Any], Site]
) -> None:
    cluster = await trio.to_thread.run_sync(lambda: open_real_kafka(users={"streamd": "right"}))
    site, password = own_site(cluster), "n0t-the-right-passw0rd"
    login = (
        "security_protocol = 'SASL_PLAINTEXT'\nsasl_mechanism = 'PLAIN'\n"
        f"sasl_username = 'streamd'\nsasl_password = '{password}'\n"
    )
    async with open_avaya_simulator(AvayaOptions(keys=10, producers=(QUEUE,))) as avaya:
        daemon = site.daemon(avaya.connector_table(), login, cluster.sasl_bootstrap_servers)
        daemon.start()
        status = await daemon.until("live")
        with trio.fail_after(60):
            while "SASL_AUTHENTICATION_FAILED" not in str(status["kafka"]["reason"]):
                status = await daemon.status()
        for _ in range(2):  # the second ends the wait for Kafka
            daemon.terminate()
            await daemon.logged("draining")
        assert await daemon.ended() == 0
    everything = {"log": daemon.log.read_bytes(), "status": repr(status).encode()}
    assert sorted(_found({**everything, **dict(_files(daemon.state))}, [password])) == []


def _tables(avaya: AvayaSimulator, url: str) -> str:
    """Give what follows `[admin]`: a token for it, and the connector before the parrot."""
    return (
        f'token = "{SECRETS["admin_token"]}"\n'
        + avaya.connector_table().replace(avaya.base_url, url)
        + "retry_min_seconds = 0.1\nretry_max_seconds = 0.3\nsnapshot_settle_seconds = 0.3\n"
        + "ping_interval_seconds = 0.5\n"
        + f'websocket_headers = {{ X-Gate = "{SECRETS["websocket_header"]}" }}\n'
        + f'privacy = {{ hash = ["measures.queueName"], hash_key = "{SECRETS["hash_key"]}", '
        + 'dead_letter = "full" }\n'
    )


async def _shown(port: int) -> str:
    """Give what the admin address shows to who has its token."""
    login = httpx.BasicAuth("operator", SECRETS["admin_token"])
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", auth=login, trust_env=False) as http:
        answers = [await http.get(path) for path in ("/", "/status", "/metrics", "/healthz", "/readyz")]
    assert [answer.status_code for answer in answers] == [200] * 5
    return "\n".join(f"{answer.headers}\n{answer.text}" for answer in answers)


def _bytes(records: Iterable[Any]) -> bytes:
    parts = []
    for record in records:
        parts += [record.key or b"", record.value or b""]
        parts += [part for name, value in record.headers for part in (name.encode(), value or b"")]
    return b"\n".join(parts)


def _files(directory: Path) -> Iterator[tuple[str, bytes]]:
    for file in directory.iterdir():
        if file.is_file():
            yield file.name, file.read_bytes()


def _found(everything: dict[str, bytes], secrets: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give where a secret is, or enough of it, as it is or percent-encoded or in base64."""
    for secret in secrets:
        parts = {secret, quote(secret, safe="")}
        if len(secret) > 2 * HEX:
            parts = {secret[start : start + HEX] for start in range(20, len(secret) - HEX, HEX // 4)}
        for place, text in everything.items():
            if any(part.encode() in text for part in parts):
                yield place, secret[:24]
