"""The contract's section 2, row by row, as far as it needs no I/O."""

from __future__ import annotations

import pytest

from streamd.connectors.avaya.protocol import (
    Loss,
    Next,
    Standing,
    Verdict,
    backoff_seconds,
    judge,
    judge_subscription,
    judge_token,
    needs_check,
    ping_interval,
    renew_delay,
)
from streamd.connectors.avaya.rest import Subscription


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, Verdict.OK),
        (400, Verdict.REFUSED),
        (401, Verdict.REFUSED),
        (403, Verdict.REFUSED),
        (404, Verdict.REFUSED),
        (429, Verdict.SLOW_DOWN),
        (500, Verdict.AGAIN),
        (503, Verdict.AGAIN),
    ],
)
def test_the_token_endpoints_answers_are_faults_unless_the_server_has_a_bad_moment(
    status: int, answer: Verdict
) -> None:
    assert judge_token(status) is answer


@pytest.mark.parametrize(
    ("status", "detail", "answer"),
    [
        (201, "", Verdict.OK),
        (204, "", Verdict.OK),
        (400, "", Verdict.REFUSED),
        (401, "Authorization Error (Appkey)", Verdict.REFUSED),
        (401, "Authorization Error (Access-Token)", Verdict.REFRESH_TOKEN),
        (401, "", Verdict.REFRESH_TOKEN),
        (403, "", Verdict.REFUSED),
        (404, "", Verdict.GONE),
        (408, "", Verdict.AGAIN),
        (409, "", Verdict.REFUSED),
        (429, "", Verdict.SLOW_DOWN),
        (302, "", Verdict.AGAIN),
        (500, "", Verdict.AGAIN),
        (502, "", Verdict.AGAIN),
    ],
)
def test_a_rest_answer_says_what_to_do(status: int, detail: str, answer: Verdict) -> None:
    assert judge(status, detail) is answer


@pytest.mark.parametrize(
    ("subscription", "next_"),
    [
        (None, Next.CREATE),
        (Subscription("id", "ACTIVE"), Next.CONNECT),
        (Subscription("id", "PENDING"), Next.POLL),
        (Subscription("id", "INACTIVE"), Next.RENEW),
        (Subscription("id", "active"), Next.CONNECT),
        (Subscription("id", "Inactive"), Next.RENEW),
        (Subscription("id", "SOMETHING_NEW"), Next.POLL),
        (Subscription("id"), Next.CONNECT),
    ],
)
def test_a_subscriptions_status_says_what_it_needs(subscription: Subscription | None, next_: Next) -> None:
    assert judge_subscription(subscription) is next_


def test_a_confirmed_connection_is_no_loss() -> None:
    assert Standing().on_authentication("CONNECTION_CONFIRMED", 0.0) is None


@pytest.mark.parametrize("status", ["connection_confirmed", "connectionConfirmed", "ConnectionConfirmed"])
def test_a_status_is_known_in_any_spelling_that_the_events_name_has(status: str) -> None:
    assert Standing().on_authentication(status, 0.0) is None
    failed = Standing().on_authentication(status.lower().replace("confirmed", "failed_invalid_token"), 0.0)
    assert failed is not None
    assert failed.refresh_token


def test_an_invalid_token_is_replaced_and_tried_at_once_but_the_second_time_with_backoff_and_alert() -> None:
    standing = Standing()
    first = standing.on_authentication("CONNECTION_FAILED_INVALID_TOKEN", 0.0)
    assert first is not None
    assert first.refresh_token
    assert first.renew
    assert first.at_once
    assert not first.alert
    second = standing.on_authentication("CONNECTION_FAILED_INVALID_TOKEN", 1.0)
    assert second is not None
    assert second.refresh_token
    assert second.renew
    assert not second.at_once
    assert second.alert
    standing.on_authentication("CONNECTION_CONFIRMED", 2.0)
    third = standing.on_authentication("CONNECTION_FAILED_INVALID_TOKEN", 3.0)
    assert third is not None
    assert third.at_once


def test_an_unknown_subscription_is_looked_up_and_never_recreated_blindly() -> None:
    loss = Standing().on_authentication("CONNECTION_FAILED_UNKNOWN_SUBSCRIPTION", 0.0)
    assert loss == Loss("CONNECTION_FAILED_UNKNOWN_SUBSCRIPTION", check=True)


def test_a_server_error_is_retried_later_and_later_with_the_same_subscription() -> None:
    standing = Standing()
    losses = [standing.on_authentication("CONNECTION_FAILED_INTERNAL_SERVER_ERROR", 0.0) for _ in range(3)]
    assert [loss.backoff for loss in losses if loss] == [1, 2, 3]
    assert not any(loss.check or loss.refused or loss.refresh_token for loss in losses if loss)


def test_a_constraint_violation_is_a_fault() -> None:
    loss = Standing().on_authentication("CONNECTION_FAILED_CONSTRAINT_VIOLATION", 0.0)
    assert loss is not None
    assert loss.refused


@pytest.mark.parametrize("status", [None, "", "SOMETHING_NEW"])
def test_an_unknown_status_and_no_answer_count_as_a_server_error(status: str | None) -> None:
    loss = Standing().on_authentication(status, 0.0)
    assert loss is not None
    assert loss.backoff == 1


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1012, 1013, 4000])
def test_an_ordinary_close_is_a_reconnect_with_the_same_subscription(code: int) -> None:
    assert Standing().on_close(code, True, 0.0) == Loss(f"closed with {code}")


@pytest.mark.parametrize("code", [1008, 1002, 1003, 1007])
def test_a_complaint_takes_a_new_token_and_a_look_and_is_a_fault_when_repeated(code: int) -> None:
    standing = Standing()
    first = standing.on_close(code, True, 0.0)
    assert first.refresh_token
    assert first.check
    assert not first.refused
    standing.on_authentication("CONNECTION_CONFIRMED", 1.0)
    assert standing.on_close(code, True, 2.0).refused


def test_what_we_complained_of_ourselves_is_never_a_fault() -> None:
    standing = Standing()
    for _ in range(5):
        loss = standing.on_close(1007, False, 0.0)
        assert loss.check
        assert not loss.refused


def test_a_session_that_held_for_a_minute_forgives_an_earlier_complaint() -> None:
    standing = Standing()
    standing.on_close(1008, True, 0.0)
    standing.on_authentication("CONNECTION_CONFIRMED", 1.0)
    assert not standing.on_close(1008, True, 62.0).refused


def test_a_message_above_our_limit_raises_the_limit() -> None:
    assert Standing().on_close(1009, False, 0.0).oversize


def test_the_backoff_of_a_server_error_is_1_to_60_seconds() -> None:
    assert backoff_seconds(1, 0.0) == 1.0
    assert backoff_seconds(1, 1.0) == 2.0
    assert backoff_seconds(50, 1.0) == 60.0


def test_pings_are_a_third_of_what_the_server_tolerates_and_at_most_ten_seconds() -> None:
    assert ping_interval(300.0, None) == 10.0
    assert ping_interval(15.0, None) == 5.0
    assert ping_interval(None, None) == ping_interval(0.0, None) == 10.0
    assert ping_interval(300.0, 25.0) == 25.0


def test_a_subscription_is_looked_at_first_when_it_may_have_died_meanwhile() -> None:
    def check(seen_alive_at: float | None, expires_at: float | None, now: float) -> bool:
        return needs_check(seen_alive_at=seen_alive_at, expires_at=expires_at, ping_interval=300.0, now=now)

    assert check(None, 900.0, 0.0)
    assert not check(0.0, 900.0, 299.0)
    assert check(0.0, 900.0, 301.0)
    assert check(890.0, 900.0, 901.0)
    assert not check(890.0, None, 901.0)


def test_the_renewal_comes_at_about_three_quarters_of_the_life() -> None:
    assert renew_delay(900.0, 0.0) == pytest.approx(630.0)
    assert renew_delay(900.0, 1.0) == pytest.approx(720.0)
