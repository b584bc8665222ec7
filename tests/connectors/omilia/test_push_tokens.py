"""The token endpoint keeps to RFC 6749 and lets in who should be; a foreign issuer's tokens are verified."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
import trio
from authlib.integrations.httpx_client import AsyncOAuth2Client
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.connectors.omilia import jwks, token_endpoint
from streamd.simulators.omilia import open_omilia_simulator
from streamd.transport.server import Request, Response, serve_http
from tests.connectors.omilia.pushing import SECRET, START, Pushed, body, open_pushed, open_system, start

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def system(tmp_path: Path) -> Callable[..., Any]:
    @asynccontextmanager
    async def open_it(*faults: str, **more: Any) -> AsyncIterator[Pushed]:
        async with open_system(tmp_path, *faults, data_types=[START], **more) as (_, pushed):
            yield pushed

    return open_it


def basic(name: str, secret: str) -> str:
    return "Basic " + b64encode(f"{name}:{secret}".encode()).decode()


async def ask(pushed: Pushed, content: Any, **headers: str) -> Any:
    sent = {"Content-Type": FORM} | {name.replace("_", "-"): value for name, value in headers.items()}
    return await pushed.http.post(f"{pushed.url}oauth/token", content=content, headers=sent)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_well_known_oauth2_client_gets_a_token_and_pushes_with_it(system: Any, method: str) -> None:
    async with (
        system(auth_scope='"omilia.push omilia.other"') as pushed,
        AsyncOAuth2Client(
            "omilia-acme", SECRET, token_endpoint_auth_method=method, scope="omilia.push", trust_env=False
        ) as client,
    ):
        token = await client.fetch_token(f"{pushed.url}oauth/token", grant_type="client_credentials")
        assert (token["token_type"], token["expires_in"], token["scope"]) == ("Bearer", 3600, "omilia.push")
        answer = await client.post(f"{pushed.url}{START}", content=body(start()))
        assert answer.status_code == 200
        assert len(pushed.dialogs()) == 1


@pytest.mark.parametrize(
    "fault", ["token-body", "token-basic", "token-basic-raw", "token-both", "token-json", "token-per-push"]
)
async def test_every_way_in_which_omilia_may_ask_is_taken(tmp_path: Path, fault: str) -> None:
    options = {"auth_secret": "a+secret with:colon&%41/é"[:24]}
    async with open_system(tmp_path, fault, options=options, data_types=[START]) as (simulator, pushed):
        simulator.call(children=0)
        await pushed.until(lambda: pushed.dialogs())
        assert {call.outcome for call in simulator.token_calls} == {"token"}


async def test_an_answer_is_kept_by_nobody(system: Any) -> None:
    async with system() as pushed:
        for answer in (await pushed.ask_token(), await pushed.ask_token("wrong")):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-type"] == "application/json"


async def test_each_mistake_has_the_answer_of_the_rfc(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_endpoint, "MOST_FAILURES", 100)
    right = f"grant_type=client_credentials&client_id=omilia-acme&client_secret={SECRET.replace(' ', '+')}"
    async with system(auth_scope='"omilia.push"') as pushed:
        cases: list[tuple[int, str, Any]] = [
            (401, "invalid_client", await ask(pushed, right + "x")),
            (401, "invalid_client", await ask(pushed, "grant_type=client_credentials")),
            (401, "invalid_client", await ask(pushed, "", Authorization="Basic !!!")),
            (401, "invalid_client", await ask(pushed, right, Authorization="Basic bm9jb2xvbg==")),
            (401, "invalid_client", await ask(pushed, "", Authorization=basic("else", SECRET))),
            (400, "invalid_request", await ask(pushed, right, Authorization=basic("omilia-acme", "other"))),
            (400, "invalid_request", await ask(pushed, f"{right}&{right}")),
            (400, "invalid_request", await ask(pushed, b"\xff\xfe")),
            (400, "invalid_request", await ask(pushed, right.partition("&")[2])),
            (400, "invalid_request", await ask(pushed, b"[]", Content_Type="application/json")),
            (400, "invalid_request", await ask(pushed, b"x" * 20_000)),
            (
                400,
                "unsupported_grant_type",
                await ask(pushed, right.replace("client_credentials", "password")),
            ),
            (400, "invalid_scope", await ask(pushed, f"{right}&scope=admin")),
        ]
        for status, error, answer in cases:
            assert (answer.status_code, answer.json()) == (status, {"error": error})
            assert ("www-authenticate" in answer.headers) is (status == 401)
        assert (await pushed.http.get(f"{pushed.url}oauth/token")).status_code == 405


async def test_the_scope_is_what_was_asked_for_or_all_that_is_configured(system: Any) -> None:
    async with system(auth_scope='"one two"') as pushed:
        assert (await pushed.ask_token()).json()["scope"] == "one two"
        assert (await pushed.ask_token(scope="two")).json()["scope"] == "two"


async def test_both_secrets_are_good_while_one_takes_the_place_of_the_other(system: Any) -> None:
    async with system(previous_auth_secret='"the old one"') as pushed:
        statuses = [
            (await pushed.ask_token(secret)).status_code for secret in (SECRET, "the old one", "other")
        ]
        assert statuses == [200, 200, 401]


async def test_who_fails_too_often_is_told_nothing_more_for_a_while(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_endpoint, "FAILURE_SECONDS", 0.5)
    async with system() as pushed:
        for _ in range(token_endpoint.MOST_FAILURES):
            assert (await pushed.ask_token("wrong")).status_code == 401
        answer = await pushed.ask_token("wrong")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        await trio.sleep(0.5)
        assert (await pushed.ask_token("wrong")).status_code == 401


async def test_a_stranger_behind_the_same_proxy_locks_nobody_out_who_knows_the_secret(system: Any) -> None:
    async with system() as pushed:
        for _ in range(2 * token_endpoint.MOST_FAILURES):
            await pushed.ask_token("wrong", client_id="a stranger behind the same proxy")
        assert (await pushed.push(start())).status_code == 200
        assert pushed.tally["tokens_limited"] == token_endpoint.MOST_FAILURES
        assert pushed.gaps() == []


async def test_json_is_refused_where_bodies_are_strict(system: Any) -> None:
    content = json.dumps(
        {"grant_type": "client_credentials", "client_id": "omilia-acme", "client_secret": SECRET}
    )
    async with system(lenient_body="false") as pushed:
        assert (await ask(pushed, content, Content_Type="application/json")).status_code == 401


async def test_a_wrong_secret_of_our_own_client_is_a_gap_for_nothing_can_be_pushed(system: Any) -> None:
    async with system() as pushed:
        for _ in range(token_endpoint.MOST_FAILURES):
            await pushed.ask_token("wrong", client_id="somebody")
        assert pushed.gaps() == []
        assert (await pushed.ask_token("wrong")).status_code == 429
        await pushed.until(lambda: pushed.gaps())
        assert "wrong secret" in pushed.reason


async def test_a_token_outlives_a_restart(tmp_path: Path) -> None:
    async with open_omilia_simulator() as simulator:
        async with open_pushed(tmp_path, simulator, [START]) as first:
            assert (await first.push(start("d1"))).status_code == 200
            token = first.token
        async with open_pushed(tmp_path, simulator, [START]) as second:
            second.token = token
            assert (await second.push(start("d2"))).status_code == 200


def forged(pushed: Pushed, **claims: Any) -> str:
    """Sign with the connector's own key, or another's."""
    [(name, value)] = pushed.runtime.states("signing/").items()
    key = msgspec.json.decode(value, type=dict[str, Any])
    secret = claims.pop("secret", None) or msgspec.json.decode(value, type=_Key).secret
    del key
    now = datetime.now(UTC)
    usual = {"iss": "streamd", "aud": "streamd:omilia-test", "iat": now, "exp": now + timedelta(hours=1)}
    algorithm = claims.pop("algorithm", "HS256")
    headers = {"kid": claims.pop("kid", name.removeprefix("signing/"))}
    return jwt.encode({**usual, **claims}, secret, algorithm=algorithm, headers=headers)


class _Key(msgspec.Struct):
    secret: bytes


async def test_only_our_own_tokens_are_let_in_with_a_minute_for_wrong_clocks(system: Any) -> None:
    async with system() as pushed:
        await pushed.push(start("d0"))
        now = datetime.now(UTC)
        cases = {
            forged(pushed): 200,
            forged(pushed, exp=now - timedelta(seconds=50)): 200,
            forged(pushed, iat=now + timedelta(hours=1)): 200,  # our clock was set back
            forged(pushed, exp=now - timedelta(seconds=70)): 401,
            forged(pushed, aud="streamd:other"): 401,
            forged(pushed, iss="other"): 401,
            forged(pushed, kid="nobody"): 401,
            forged(pushed, secret=b"x" * 32): 401,
            forged(pushed, secret=b"x" * 64, algorithm="HS512"): 401,
            jwt.encode({"iss": "streamd", "aud": "streamd:omilia-test"}, None, algorithm="none"): 401,
        }
        for number, (token, status) in enumerate(cases.items()):
            pushed.token = token
            assert (await pushed.push(start(f"d{number + 1}"))).status_code == status, number


async def test_an_expired_token_of_ours_is_a_gap_and_a_stranger_is_none(system: Any) -> None:
    async with system() as pushed:
        await pushed.push(start("d0"))
        pushed.token = forged(pushed, secret=b"x" * 32)
        assert (await pushed.push(start("d1"))).status_code == 401
        assert pushed.gaps() == []
        pushed.token = forged(pushed, exp=datetime.now(UTC) - timedelta(hours=1))
        assert (await pushed.push(start("d1"))).status_code == 401
        await pushed.until(lambda: pushed.gaps())


async def test_a_token_whose_key_was_lost_with_its_spool_is_a_gap(tmp_path: Path) -> None:
    async with open_omilia_simulator() as simulator:
        async with open_pushed(tmp_path, simulator, [START]) as pushed:
            assert (await pushed.push(start("d0"))).status_code == 200
            kept = pushed.token
        (tmp_path / "another").mkdir()
        async with open_pushed(tmp_path / "another", simulator, [START]) as pushed:
            pushed.token = kept
            assert (await pushed.push(start("d1"))).status_code == 401
            await pushed.until(lambda: pushed.gaps())
            assert pushed.gaps()[0]["cause"] == "push_failed"


async def test_any_token_request_has_an_answer_of_the_rfc(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_endpoint, "MOST_FAILURES", 10_000)
    cases: list[tuple[bytes, str, str]] = []

    @given(
        st.binary(max_size=60) | st.text(alphabet="=&%+client_idsr:", max_size=40).map(str.encode),
        st.sampled_from([FORM, "application/json", "", "text/plain; x"]),
        st.sampled_from(["", "Basic", "Basic ", "Basic YTpi", "Basic Og==", "Bearer x"])
        | st.text(alphabet="abcXYZ09+/=", max_size=20).map("Basic {}".format),
    )
    @settings(max_examples=150, database=None)
    def gather(content: bytes, kind: str, authorization: str) -> None:
        cases.append((content, kind, authorization.strip()))

    gather()
    async with system() as pushed:
        for content, kind, authorization in cases:
            answer = await ask(pushed, content, Content_Type=kind, Authorization=authorization)
            assert answer.status_code in (400, 401), (content, kind, authorization)
            assert answer.json()["error"] in ("invalid_request", "invalid_client", "unsupported_grant_type")


class Provider:
    """An identity provider: it publishes its keys, and signs tokens with them."""

    def __init__(self) -> None:
        self.keys = {"k1": rsa.generate_private_key(65537, 2048)}
        self.asked = 0
        self.down = False
        self.url = ""
        self.metadata: dict[str, dict[str, str]] = {}
        self.looked_for: list[str] = []

    async def respond(self, request: Request) -> Response:
        if self.down:
            return Response(500)
        if request.path != "/jwks":
            self.looked_for.append(request.path)
            found = self.metadata.get(request.path)
            return Response(200 if found else 404, {}, json.dumps(found).encode())
        self.asked += 1
        rsa_jwk = jwt.algorithms.RSAAlgorithm
        listed = [
            {**rsa_jwk.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig", "alg": "RS256"}
            for name, key in self.keys.items()
        ]
        return Response(200, {"Content-Type": "application/json"}, json.dumps({"keys": listed}).encode())

    def token(self, name: str = "k1", **claims: Any) -> str:
        now = datetime.now(UTC)
        usual = {"iss": "https://id", "aud": "streamd", "iat": now, "exp": now + timedelta(hours=1)}
        return jwt.encode({**usual, **claims}, self.keys[name], algorithm="RS256", headers={"kid": name})


@pytest.fixture
async def provider(nursery: trio.Nursery) -> Provider:
    found = Provider()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    found.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/jwks"
    serve = partial(serve_http, on_error=lambda *_: None, max_body_bytes=1000)
    await nursery.start(serve, found.respond, listeners)
    return found


def external(provider: Provider, **more: str) -> dict[str, str]:
    return {
        "token_issuer": '"external"',
        "token_url": '"http://127.0.0.1:1/token"',
        "jwks_url": f'"{provider.url}"',
        "issuer": '"https://id"',
        "audience": '"streamd"',
        **more,
    }


async def status_of(pushed: Pushed, token: str, identifier: str = "d1") -> int:
    pushed.token = token
    return (await pushed.push(start(identifier))).status_code


async def test_tokens_of_an_external_issuer_are_verified_by_its_keys(system: Any, provider: Provider) -> None:
    async with system(**external(provider)) as pushed:
        now = datetime.now(UTC)
        stranger = rsa.generate_private_key(65537, 2048)
        usual = {"iss": "https://id", "aud": "streamd", "exp": now + timedelta(hours=1)}
        cases = {
            provider.token(): 200,
            provider.token(exp=now - timedelta(seconds=50)): 200,
            provider.token(exp=now - timedelta(seconds=70)): 401,
            provider.token(aud="else"): 401,
            provider.token(iss="https://else"): 401,
            jwt.encode(usual, stranger, algorithm="RS256", headers={"kid": "k1"}): 401,
            jwt.encode(usual, provider.keys["k1"], algorithm="RS512", headers={"kid": "k1"}): 401,
            jwt.encode(usual, "a secret that is long enough, really", algorithm="HS256"): 401,
        }
        for token, status in cases.items():
            assert await status_of(pushed, token) == status
        assert provider.asked == 1


async def test_a_new_key_is_fetched_when_a_token_names_it_but_not_again_and_again(
    system: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with system(**external(provider)) as pushed:
        assert await status_of(pushed, provider.token()) == 200
        provider.keys = {"k2": rsa.generate_private_key(65537, 2048)}
        assert await status_of(pushed, provider.token("k2")) == 401
        assert provider.asked == 1
        monkeypatch.setattr(jwks, "ASK_AGAIN_SECONDS", 0.0)
        assert await status_of(pushed, provider.token("k2")) == 200
        assert provider.asked == 2


async def test_while_the_keys_cannot_be_had_it_is_503_and_known_ones_stay_good(
    system: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "ASK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(jwks, "KEEP_SECONDS", 0.0)
    async with system(**external(provider)) as pushed:
        provider.down = True
        assert await status_of(pushed, provider.token()) == 503
        provider.down = False
        assert await status_of(pushed, provider.token()) == 200
        provider.down = True
        assert await status_of(pushed, provider.token(jti="2")) == 200


async def test_an_external_token_needs_the_configured_scope(system: Any, provider: Provider) -> None:
    async with system(**external(provider, auth_scope='"omilia.push"')) as pushed:
        assert await status_of(pushed, provider.token()) == 401
        assert await status_of(pushed, provider.token(scope="a omilia.push")) == 200
        assert await status_of(pushed, provider.token(scp=["omilia.push"])) == 200


OPENID, OAUTH = "/realm/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/realm"


@pytest.mark.parametrize("place", [OPENID, OAUTH])
async def test_an_external_issuer_is_asked_where_it_issues_tokens(
    tmp_path: Path, provider: Provider, place: str
) -> None:
    issuer = provider.url.replace("/jwks", "/realm")
    provider.metadata[place] = {"issuer": issuer, "token_endpoint": f"{issuer}/token"}
    keys = {**external(provider, issuer=f'"{issuer}"')}
    del keys["token_url"]
    async with open_system(tmp_path, data_types=[START], **keys) as (simulator, pushed):
        assert [each.delivery.token_path for each in simulator.subscriptions] == [f"{issuer}/token"]
        assert await status_of(pushed, provider.token(iss=issuer)) == 200
        assert len(provider.looked_for) == [OPENID, OAUTH].index(place) + 1


@pytest.mark.parametrize(
    ("metadata", "state", "words"),
    [
        ({}, "refused", "token_url is needed"),
        ({"issuer": "http://127.0.0.1:1", "token_endpoint": "https://id/t"}, "refused", "another one"),
        ({"issuer": "ISSUER", "token_endpoint": "http://id.example.net/t"}, "refused", "no URL with TLS"),
        ({"issuer": "ISSUER"}, "lost", "cannot be read"),
    ],
)
async def test_an_issuer_that_does_not_say_where_it_issues_tokens_is_told(
    tmp_path: Path, provider: Provider, metadata: dict[str, str], state: str, words: str
) -> None:
    issuer = provider.url.removesuffix("/jwks")
    told = {key: issuer if value == "ISSUER" else value for key, value in metadata.items()}
    provider.metadata["/.well-known/openid-configuration"] = told
    keys = {**external(provider, issuer=f'"{issuer}"'), "state": state}
    del keys["token_url"]
    async with open_system(tmp_path, data_types=[START], **keys) as (simulator, pushed):
        assert not simulator.subscriptions
        assert words in pushed.reason
