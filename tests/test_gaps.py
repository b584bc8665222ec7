"""The life of a gap: opened once at the last proof of life, closed, healed, and kept until then."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from streamd.gaps import LINK, Gaps
from tests.spool.rig import START


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


OPENED: dict[str, Any] = {"scope": ["*"], "cause": "link_lost", "stateful": True, "now": at(9)}


class Kept:
    """Gaps with the keyed state behind them, as the spool commits it, and the events that were published."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.told: list[tuple[str, str, Any]] = []
        self.gaps = Gaps({})
        self._ids = iter("abcdefgh")

    def commit(self) -> None:
        words = self.gaps.untold()
        for name, (event, value) in words.items():
            assert event.key == event.subject == event.data.gap_id
            self.told.append((event.type.removeprefix("streamd.gap."), event.data.gap_id, event.data))
            if value is None:
                self.stored.pop(name, None)
            else:
                self.stored[name] = value
        self.gaps.told(words)

    def restart(self) -> None:
        self.gaps = Gaps(self.stored)

    def open(self, kind: str = LINK, since: float | None = 1, session: str = "s", **more: Any) -> None:
        instant = None if since is None else at(since)
        self.gaps.open(session, kind, gap_id=next(self._ids), since=instant, **OPENED | more)
        self.commit()

    def close(self, kind: str = LINK, until: float = 5, session: str = "s", **more: Any) -> None:
        default: dict[str, Any] = {"restored": False, "count": None, "now": at(9)}
        self.gaps.close(session, kind, until=at(until), **default | more)
        self.commit()

    def heal(self, session: str = "s") -> None:
        self.gaps.heal(session, by="snapshot", now=at(10))
        self.commit()

    @property
    def history(self) -> list[tuple[str, str]]:
        return [(what, gap_id) for what, gap_id, _ in self.told]

    @property
    def last(self) -> Any:
        return self.told[-1][2]


@pytest.fixture(params=[False, True], ids=["in one life", "with a restart at each step"])
def kept(request: pytest.FixtureRequest) -> Kept:
    kept = Kept()
    if request.param:
        commit = kept.commit

        def commit_and_restart() -> None:
            commit()
            kept.restart()

        kept.commit = commit_and_restart  # type: ignore[method-assign]
    return kept


def test_a_gap_begins_at_the_last_proof_and_is_open_until_the_vendor_delivers_again(kept: Kept) -> None:
    kept.open(since=1)
    assert (kept.last.from_, kept.last.to, kept.last.events, kept.last.state) == (
        at(1),
        None,
        "lost",
        "stale",
    )
    assert kept.gaps.open_count == 1
    kept.close(until=5)
    assert (kept.last.from_, kept.last.to, kept.last.state) == (at(1), at(5), "stale")
    assert kept.gaps.open_count == 0


def test_there_is_one_open_gap_of_a_kind_and_session(kept: Kept) -> None:
    kept.open(since=1)
    kept.open(since=3)
    kept.open("overflow", since=3)
    kept.open(since=3, session="other")
    assert kept.history == [("opened", "a"), ("opened", "c"), ("opened", "d")]
    kept.close()
    kept.open(since=7)
    assert kept.history[3:] == [("closed", "a"), ("opened", "e")]


def test_the_gap_of_a_new_spool_is_from_null(kept: Kept) -> None:
    kept.open(since=None, cause="new_spool")
    assert kept.last.from_ is None
    kept.close(until=5)
    assert (kept.last.from_, kept.last.to) == (None, at(5))


def test_a_snapshot_heals_closed_gaps_of_its_session_and_no_others(kept: Kept) -> None:
    kept.open()
    kept.close()
    kept.open(session="other")
    kept.close(session="other")
    kept.open("overflow")
    kept.heal()
    assert kept.history[5:] == [("healed", "a")]
    assert (kept.last.state, kept.last.healed_by, kept.last.healed_at) == ("restored", "snapshot", at(10))
    assert {gap.data.gap_id for gap in kept.gaps.unhealed()} == {"b", "c"}
    kept.heal()
    assert len(kept.history) == 6


def test_what_is_healed_or_needs_no_healing_leaves_the_keyed_state(kept: Kept) -> None:
    kept.open()
    assert list(kept.stored) == ["gap/a"]
    kept.close()
    assert list(kept.stored) == ["gap/a"]
    kept.heal()
    assert kept.stored == {}
    kept.open("overflow")
    kept.close("overflow", restored=True, count=7)
    assert (kept.last.state, kept.last.count, kept.stored) == ("restored", 7, {})
    kept.open(stateful=False)
    kept.close()
    assert (kept.last.state, kept.stored) == (None, {})


@pytest.mark.parametrize("since", [None, at(3), at(7)])
def test_where_the_clock_went_back_a_gap_covers_the_time_by_either_reckoning(
    kept: Kept, since: datetime | None
) -> None:
    kept.open(since=6)
    kept.close(until=5, since=since)
    assert (kept.last.from_, kept.last.to) == (at(3) if since == at(3) else at(5), at(6))


def test_what_is_known_of_the_beginning_at_the_end_never_makes_a_gap_smaller(kept: Kept) -> None:
    kept.open(since=2)
    kept.close(until=8, since=at(3))
    assert (kept.last.from_, kept.last.to) == (at(2), at(8))
    kept.open(since=None)
    kept.close(until=8, since=at(3))
    assert (kept.last.from_, kept.last.to) == (None, at(8))


def test_a_count_is_told_where_it_is_known_and_left_out_where_not(kept: Kept) -> None:
    kept.open()
    kept.close()
    told = msgspec.json.decode(msgspec.json.encode(kept.last))
    assert "count" not in told
    assert told.keys() >= {"gap_id", "from", "to", "healed_by", "healed_at"}
    assert (told["healed_by"], told["healed_at"]) == (None, None)
    kept.open("overflow")
    kept.close("overflow", count=0)
    assert msgspec.json.decode(msgspec.json.encode(kept.last))["count"] == 0


def test_closing_what_is_not_open_says_nothing(kept: Kept) -> None:
    kept.close()
    kept.close("overflow")
    kept.heal()
    assert (kept.told, kept.stored) == ([], {})


def test_gaps_that_nobody_is_left_to_close_are_closed_but_the_link_s(kept: Kept) -> None:
    kept.open()
    kept.open("overflow")
    kept.open("overflow", session="other")
    kept.gaps.close_others("s", until=at(8), now=at(9))
    kept.commit()
    assert kept.history[3:] == [("closed", "b")]
    assert (kept.last.to, kept.last.state) == (at(8), "stale")
    assert kept.gaps.open_count == 2


def test_a_word_that_was_not_committed_is_told_again_and_of_several_on_one_gap_the_last() -> None:
    gaps = Kept()
    gaps.gaps.open("s", LINK, gap_id="a", since=at(1), **OPENED)
    gaps.gaps.open("s", "overflow", gap_id="b", since=at(1), **OPENED)
    cut_short = gaps.gaps.untold()
    gaps.gaps.close("s", LINK, until=at(5), restored=False, count=None, now=at(5))
    gaps.gaps.told(cut_short)  # it had been handed over, and was committed after all
    gaps.commit()
    assert gaps.history == [("closed", "a")]
    gaps.close("overflow")
    gaps.heal()
    gaps.commit()
    assert gaps.history[1:] == [("closed", "b"), ("healed", "a"), ("healed", "b")]
    assert gaps.gaps.untold() == {}


def test_all_that_is_open_of_a_kind_is_closed() -> None:
    twice = Kept()
    for gap_id in "ab":  # what a kill leaves between the append of one and the next
        each = Gaps({})
        each.open("s", LINK, gap_id=gap_id, since=at(1), **OPENED)
        twice.stored |= {name: value for name, (_, value) in each.untold().items() if value}
    twice.restart()
    assert twice.gaps.open_count == 2
    twice.close()
    assert twice.gaps.open_count == 0
