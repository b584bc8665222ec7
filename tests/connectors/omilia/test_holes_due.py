"""When a hole is healed, and with which hours (vendors/omilia.md sections 3c and 4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from streamd.connectors.omilia.errand import Errand
from streamd.connectors.omilia.missing import Due, Hole, Part, due, errand_for, part_after, redelivered_at
from streamd.pull.windows import Window

NOON = datetime(2026, 2, 10, 12, 0, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
REDELIVERY = timedelta(seconds=900)


def hole(hours: float, *, end: datetime = NOON, part: Part | None = None, kind: str = "dialog_step") -> Hole:
    return Hole(kind, f"gap-{kind}-{hours}", Window(end - hours * HOUR, end), part)


def now_due(missed: Hole, after: timedelta, *, over: datetime | None = None) -> Window | None:
    """Say what is exported so long after the end of the hole."""
    now = missed.missed.end + after
    found = due(missed, over or missed.missed.end + REDELIVERY, now, now)
    return found.hours if found is not None else None


def test_a_young_hole_waits_until_redelivery_is_over_and_its_hours_can_be_exported() -> None:
    young = hole(0.5)
    assert now_due(young, 10 * MINUTE) is None
    assert now_due(young, 2 * HOUR + 59 * MINUTE) is None
    assert now_due(young, 3 * HOUR) == Window(NOON - 2 * HOUR, NOON + HOUR)


def test_redelivery_that_still_goes_on_is_waited_for() -> None:
    young = hole(0.5)
    assert now_due(young, 4 * HOUR, over=NOON + 5 * HOUR) is None


def test_redelivery_is_over_some_minutes_after_the_last_old_record_and_not_before_its_time() -> None:
    missed = hole(1)
    assert redelivered_at(missed, NOON, None, REDELIVERY) == NOON + 15 * MINUTE
    assert redelivered_at(missed, NOON + HOUR, None, REDELIVERY) == NOON + HOUR + 15 * MINUTE
    assert redelivered_at(missed, NOON, NOON - MINUTE, REDELIVERY) == NOON + 15 * MINUTE
    assert redelivered_at(missed, NOON, NOON + 11 * MINUTE, REDELIVERY) == NOON + 16 * MINUTE
    assert redelivered_at(missed, NOON, NOON + 5 * MINUTE, REDELIVERY) == NOON + 15 * MINUTE
    assert redelivered_at(missed, NOON, NOON + 9 * HOUR, REDELIVERY) == NOON + 6 * HOUR


def test_an_old_hole_is_exported_at_once_as_far_as_that_goes_and_the_rest_when_it_can() -> None:
    old = hole(30)
    first = now_due(old, MINUTE)
    assert first == Window(NOON - 31 * HOUR, NOON - 2 * HOUR)
    begun = hole(30, part=Part(first.end, 7, 0))
    assert now_due(begun, HOUR) is None
    assert now_due(begun, 3 * HOUR) == Window(NOON - 2 * HOUR, NOON + HOUR)


def test_a_young_hole_that_has_grown_old_waits_for_redelivery_no_longer() -> None:
    young = hole(2)
    assert now_due(young, 30 * HOUR, over=NOON + 31 * HOUR) == Window(NOON - 3 * HOUR, NOON + HOUR)


def test_what_is_older_than_sixty_days_is_not_asked_for() -> None:
    ancient = hole(24 * 62)
    assert now_due(ancient, 4 * HOUR) == Window(NOON + 5 * HOUR - timedelta(days=60), NOON + HOUR)
    gone = now_due(hole(5), timedelta(days=70))
    assert gone is not None
    assert not gone.span


def test_holes_whose_hours_meet_share_one_errand_and_its_slices_span_two_days_at_most() -> None:
    dues = [
        Due(each, each.hours) for each in (hole(70), hole(1, kind="dialog_end"), hole(2, end=NOON + 9 * HOUR))
    ]
    errand = errand_for(dues, "legacy", NOON + 20 * HOUR)
    assert errand.gaps == {"gap-dialog_step-70": "dialog_step", "gap-dialog_end-1": "dialog_end"}
    assert errand.types == ["Dialog End", "Dialog Step"]
    assert errand.rest[0].begin == NOON - 71 * HOUR
    assert errand.rest[-1].end == NOON + HOUR
    assert all(each.span <= 48 * HOUR for each in errand.rest)
    assert errand.kept_from is None
    assert errand_for(dues, "legacy", NOON + 21 * HOUR).name == errand.name


def test_what_the_platform_keeps_no_more_is_told_apart() -> None:
    ancient = hole(24 * 62)
    errand = errand_for([Due(ancient, ancient.hours)], "legacy", NOON)
    assert errand.kept_from == NOON + HOUR - timedelta(days=60)


def test_figures_add_up_over_the_parts_of_a_hole_and_are_unknown_where_two_share_them() -> None:
    missed = hole(30)
    done = Errand(
        "e",
        [],
        [],
        1,
        published={"dialog_end": 5, "dialog_step": 9},
        gaps={missed.gap_id: "dialog_step"},
        until={missed.gap_id: NOON},
    )
    first = part_after(missed, done)
    assert first == Part(NOON, 9, 0)
    assert part_after(hole(30, part=first), done).published == 18
    shared = Errand(
        "e", [], [], 1, gaps={**done.gaps, "other": "dialog_step"}, until={**done.until, "other": NOON}
    )
    assert part_after(missed, shared).published is None
