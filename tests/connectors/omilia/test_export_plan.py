"""No limit of batch exports is tripped over: hours, names, types, states (vendors/omilia.md section 4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.connectors.omilia.answers import Job
from streamd.connectors.omilia.jobs import standing
from streamd.connectors.omilia.plan import attempt_of, hours_of, name_of, stem_of, types_of
from streamd.pull.windows import Window

NOW = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)
HOUR = timedelta(hours=1)
# The rule as the document prints it can be read in two ways.
AS_MEANT = re.compile(r"[a-zA-Z0-9-][a-zA-Z0-9-\s]+")
AS_PRINTED = re.compile(r"[a-zA-Z0-9-][a-zA-Z0-9\-\\s]+")


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 2, day, hour, minute, tzinfo=UTC)


def test_what_was_missed_within_one_hour_is_exported_with_an_hour_on_either_side() -> None:
    for missed in (Window(at(3, 12, 10), at(3, 12, 50)), Window(at(3, 12), at(3, 13))):
        assert hours_of(missed, "dialog_step") == Window(at(3, 11), at(3, 14))


def test_ends_that_were_missed_are_looked_for_where_their_calls_began() -> None:
    assert hours_of(Window(at(3, 12), at(3, 13)), "dialog_end") == Window(at(3, 6), at(3, 14))


@given(
    st.text(min_size=1),
    st.integers(0, 1_000_000).map(lambda hours: at(1, 0) + hours * HOUR),
    st.integers(1, 999),
)
def test_every_name_keeps_to_both_readings_of_the_rule_and_tells_its_try(
    errand: str, begin: datetime, attempt: int
) -> None:
    stem = stem_of(errand, Window(begin, begin + HOUR))
    name = name_of(stem, attempt)
    assert AS_MEANT.fullmatch(name)
    assert AS_PRINTED.fullmatch(name)
    assert attempt_of(stem, name) == attempt


def test_names_are_the_same_after_a_restart_and_differ_between_errands_and_slices() -> None:
    first, second = Window(at(1, 0), at(3, 0)), Window(at(3, 0), at(4, 0))
    assert stem_of("a", first) == stem_of("a", first)
    assert len({stem_of("a", first), stem_of("a", second), stem_of("b", first)}) == 3
    assert attempt_of(stem_of("a", first), "KT_dw_qa_2_AwsDev") is None


@pytest.mark.parametrize(
    ("types", "legacy", "v2"),
    [
        (
            {"dialog_start", "dialog_step", "dialog_end"},
            ["Dialog Data"],
            ["dialog_end", "dialog_start", "dialog_step"],
        ),
        ({"dialog_end"}, ["Dialog End"], ["dialog_end"]),
        ({"dialog_step", "audit_events"}, ["Dialog Step"], ["audit", "dialog_step"]),
        ({"audit_events"}, [], ["audit"]),
    ],
)
def test_types_are_spelt_in_the_configured_style(types: set[str], legacy: list[str], v2: list[str]) -> None:
    assert types_of(types, "legacy") == legacy
    assert types_of(types, "v2") == v2


STEM = stem_of("gaps-1", Window(at(1, 0), at(2, 0)))


def job(attempt: int, status: str, identifier: str = "") -> Job:
    return Job(identifier or f"id-{attempt}", name_of(STEM, attempt), status)


def other(status: str) -> Job:
    return Job("other", "Other_Team_Export", status)


def test_nothing_there_is_a_first_try() -> None:
    found = standing([other("READY"), other("EXPIRED")], STEM, 0)
    assert (found.job, found.attempt, found.busy) == (None, 1, None)


@pytest.mark.parametrize("status", ["SUBMITTED", "PROCESSING", "RUNNING", "VALIDATING", "READY"])
def test_a_try_from_before_is_gone_on_with_in_any_state_but_expired(status: str) -> None:
    assert standing([job(1, "EXPIRED"), job(2, status)], STEM, 0).job == job(2, status)


def test_an_expired_try_is_followed_by_the_next() -> None:
    found = standing([job(1, "EXPIRED"), job(3, "EXPIRED")], STEM, 0)
    assert (found.job, found.attempt) == (None, 4)


def test_a_try_that_was_given_up_is_not_taken_again_and_a_ready_one_goes_first() -> None:
    assert standing([job(1, "READY")], STEM, 1).attempt == 2
    assert standing([job(1, "READY"), job(2, "RUNNING")], STEM, 0).job == job(1, "READY")


def test_anothers_export_that_runs_is_told_and_one_in_a_state_nobody_knows_is_not() -> None:
    assert standing([other("RUNNING")], STEM, 0).busy == "Other_Team_Export"
    assert standing([other("FAILED")], STEM, 0).busy is None
