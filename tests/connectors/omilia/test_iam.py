"""The bearer token for exports-api, against the simulated IAM (vendors/omilia.md section 1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from streamd.clock import SystemClock
from streamd.connector import Clock
from streamd.connectors.omilia.iam import PasswordLogin, PersonalToken
from streamd.errors import RateLimited, Rejected, Transient
from streamd.simulators.omilia import OmiliaOptions, OmiliaSimulator, open_omilia_simulator
from streamd.transport.http import open_http


@asynccontextmanager
async def logged_in(
    *faults: str,
    realm: str = "master",
    password: str = "simulated-password",
    clock: Clock | None = None,
    **options: Any,
) -> AsyncIterator[tuple[OmiliaSimulator, PasswordLogin]]:
    async with (
        open_omilia_simulator(OmiliaOptions(faults=frozenset(faults), **options)) as simulator,
        open_http(simulator.iam_url) as http,
    ):
        yield (
            simulator,
            PasswordLogin(http, clock or SystemClock(), realm, {"username": "streamd", "password": password}),
        )


def grants(simulator: OmiliaSimulator) -> int:
    return sum(each.path.endswith("/token") for each in simulator.requests)


async def test_many_callers_share_one_token_and_one_session() -> None:
    async with logged_in() as (simulator, login):
        found: set[str] = set()

        async def ask() -> None:
            found.add(await login.get())

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
        assert len(found) == 1
        assert simulator.sessions_opened == 1


async def test_a_token_is_renewed_by_refresh_before_its_end_without_another_session() -> None:
    async with logged_in(token_seconds=0.4) as (simulator, login):
        first = await login.get()
        await trio.sleep(0.2)
        assert await login.get() != first
        assert simulator.sessions_opened == 1


@pytest.mark.parametrize("fault", ["refresh-expired", "refresh-rotates"])
async def test_a_refresh_that_is_refused_falls_back_to_the_password(fault: str) -> None:
    async with logged_in(fault) as (simulator, login):
        for _ in range(4):
            assert login.refused(await login.get())
        assert await login.get()
        assert simulator.sessions_opened == (5 if fault == "refresh-expired" else 1)


async def test_a_session_whose_refresh_token_has_ended_is_not_refreshed() -> None:
    async with logged_in(refresh_seconds=0.05) as (simulator, login):
        login.refused(await login.get())
        await trio.sleep(0.1)
        await login.get()
        assert simulator.sessions_opened == 2
        assert grants(simulator) == 2


class Turned(SystemClock):
    """A clock whose seconds a test can add to."""

    def __init__(self) -> None:
        self.added = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.added


async def test_a_wrong_password_is_sent_slower_each_time_whoever_asks() -> None:
    clock = Turned()
    async with logged_in("account-locks", password="wrong", clock=clock) as (simulator, login):
        for seconds, tries in (
            (0, 1),
            (299, 0),
            (2, 1),
            (898, 0),
            (3, 1),
            (3598, 0),
            (3, 1),
            (3598, 0),
            (3, 1),
        ):
            clock.added += seconds
            before = grants(simulator)
            for _ in range(5):
                with pytest.raises(Rejected):
                    await login.get()
            assert grants(simulator) - before == tries


async def test_sessions_that_ask_for_another_try_together_get_one() -> None:
    clock = Turned()
    async with logged_in(password="wrong", clock=clock) as (simulator, login):
        with pytest.raises(Rejected):
            await login.get()
        clock.added += 60.0
        for _ in range(3):
            login.forgive()
            with pytest.raises(Rejected):
                await login.get()
        assert grants(simulator) == 2


async def test_a_user_with_a_one_time_password_is_told_to_use_a_personal_token() -> None:
    async with logged_in("otp-required") as (_, login):
        with pytest.raises(Rejected, match="personal_access_token"):
            await login.get()


async def test_a_realm_that_does_not_exist_is_refused_and_asked_for_once() -> None:
    async with logged_in("realm-ocp") as (simulator, login):
        for _ in range(3):
            with pytest.raises(Rejected, match="realm"):
                await login.get()
        assert grants(simulator) == 1


async def test_the_realm_of_the_newer_platforms_can_be_named() -> None:
    async with logged_in("realm-ocp", realm="ocp") as (_, login):
        assert await login.get()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("error-500:token=1", Transient),
        ("unavailable-503:token=1", Transient),
        ("gateway-html:token=1", Transient),
        ("error-empty:token=1", Transient),
        ("limited-429:token=1", RateLimited),
    ],
)
async def test_a_bad_moment_of_iam_is_no_refusal(fault: str, error: type[Transient]) -> None:
    async with logged_in(fault) as (_, login):
        with pytest.raises(error) as caught:
            await login.get()
        assert "Bad Gateway" not in caught.value.reason
        assert await login.get()


async def test_a_bad_moment_during_a_refresh_opens_no_second_session() -> None:
    async with logged_in("error-500:refresh=1") as (simulator, login):
        login.refused(await login.get())
        with pytest.raises(Transient):
            await login.get()
        await login.get()
        assert simulator.sessions_opened == 1


async def test_closing_logs_out_once_and_never_fails() -> None:
    async with logged_in() as (simulator, login):
        await login.get()
        await login.close()
        await login.close()
        assert not simulator.sessions
        login.refused(await login.get())
        simulator.set_faults("error-500:logout")
        await login.close()


async def test_the_password_stands_in_no_error_and_in_no_repr() -> None:
    async with logged_in(password="a wrong secret") as (_, login):
        with pytest.raises(Rejected) as caught:
            await login.get()
        assert "a wrong secret" not in f"{caught.value!r} {login!r} {vars(caught.value)}"


async def test_a_personal_access_token_is_given_as_it_is_and_cannot_be_renewed() -> None:
    personal = PersonalToken("pat-simulated-0001")
    token = await personal.get()
    assert token == "pat-simulated-0001"
    assert not personal.refused(token)
    personal.forgive()
    await personal.close()
