"""The state topic shows what Avaya's table shows, and nothing is declared gone without a proof."""

from __future__ import annotations

import random
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.connectors.avaya.measure_types import Typing
from streamd.connectors.avaya.measures import MergedMeasures, prefix
from streamd.connectors.avaya.normalise import normalise
from streamd.connectors.avaya.wire import MeasureMessage
from streamd.model import Event, State

RECEIVED = datetime(2026, 1, 2, tzinfo=UTC)
PRODUCER = "Queue_itd_1.0.0"
TEXT = "|||queueId="
"""The text of a queue's key-set, up to its id."""


def name(key: str) -> str:
    """Give the name of a queue in the keyed state."""
    return f"{prefix(PRODUCER)}{TEXT}{key}"


class Table:
    """What a consumer of the state topic holds, fed with all that `measures` publishes."""

    def __init__(self, known: dict[str, bytes] | None = None) -> None:
        self.persisted = dict(known or {})
        self.measures = MergedMeasures(PRODUCER, self.persisted)
        self.published: dict[str, dict[str, str]] = {}
        self.states = 0
        self.events: list[Event] = []

    def take(self, items: list[Event | State], changes: dict[str, bytes | None]) -> None:
        for item in items:
            if isinstance(item, Event):
                self.events.append(item)
                continue
            self.states += 1
            if item.data is None:
                self.published.pop(item.key.removeprefix(TEXT), None)
            else:
                self.published[item.key.removeprefix(TEXT)] = item.data.measures
        for name, value in changes.items():
            if value is None:
                del self.persisted[name]
            else:
                self.persisted[name] = value

    def apply(self, key: str, payload_type: str, action: str = "UPSERT", **measures: str) -> None:
        items: list[Event | State] = []
        changes: dict[str, bytes | None] = {}
        message = MeasureMessage(
            keys={"queueId": key},
            payload_type=payload_type,  # type: ignore[arg-type]
            event_action=action,  # type: ignore[arg-type]
            measures=measures,
        )
        self.measures.apply(normalise(message, TEXT + key, RECEIVED, Typing()), Typing(), items, changes)
        self.take(items, changes)

    def snapshot(self, key: str, **measures: str) -> None:
        self.apply(key, "INITIALIZING", **measures)

    def live(self, key: str, **measures: str) -> None:
        self.apply(key, "LIVE", **measures)

    def end(self) -> None:
        items: list[Event | State] = []
        self.measures.end_filling(False, RECEIVED, Typing(), items)
        self.take(items, {})

    def prove(self) -> tuple[int, int]:
        items: list[Event | State] = []
        self.measures.end_filling(True, RECEIVED, Typing(), items)
        changes: dict[str, bytes | None] = {}
        result = self.measures.retire(RECEIVED, items, changes)
        self.take(items, changes)
        return result.retired, result.doubted

    def session(self, *keys: str) -> tuple[int, int]:
        self.measures.begin()
        for key in keys:
            self.snapshot(key, Offered="1")
        return self.prove()


def test_live_merges_into_the_snapshot_and_the_next_snapshot_replaces_it() -> None:
    table = Table()
    table.measures.begin()
    table.snapshot("q", Offered="1", Answered="1")
    table.live("q", Offered="2")
    assert table.published == {"q": {"Offered": "2", "Answered": "1"}}
    table.measures.begin()
    table.snapshot("q", Offered="3")
    assert table.published == {"q": {"Offered": "3"}}


@pytest.mark.parametrize("payload_type", ["INITIALIZING", "LIVE"])
def test_delete_ends_a_row_and_an_upsert_after_it_starts_anew(payload_type: str) -> None:
    table = Table()
    table.measures.begin()
    table.snapshot("q", Offered="1", Answered="1")
    table.apply("q", payload_type, "DELETE")
    assert table.published == {}
    assert table.persisted == {}
    table.live("q", Offered="5")
    assert table.published == {"q": {"Offered": "5"}}


def test_deleting_an_unknown_row_publishes_its_null_all_the_same() -> None:
    table = Table()
    table.apply("q", "LIVE", "DELETE")
    assert (table.states, table.persisted) == (1, {})


def test_an_unchanged_row_is_not_published_again_whatever_the_order_of_its_values() -> None:
    table = Table()
    table.measures.begin()
    table.snapshot("q", Offered="1", Answered="2")
    table.live("q", Answered="2")
    table.measures.begin()
    table.snapshot("q", Answered="2", Offered="1")
    table.live("q", Offered="1")
    assert table.states == 1


def test_a_known_row_waits_for_its_snapshot_value() -> None:
    table = Table()
    table.session("q")
    table.measures.begin()
    table.live("q", Offered="9")
    assert table.published == {"q": {"Offered": "1"}}
    table.snapshot("q", Offered="8", Answered="8")
    assert table.published == {"q": {"Offered": "8", "Answered": "8"}}


def test_a_row_whose_snapshot_value_never_comes_is_published_at_the_end_of_the_snapshot() -> None:
    table = Table()
    table.session("q")
    table.measures.begin()
    table.live("q", Answered="9")
    table.end()
    assert table.published == {"q": {"Offered": "1", "Answered": "9"}}
    table.live("q", Answered="10")
    assert table.published == {"q": {"Offered": "1", "Answered": "10"}}


def test_a_row_that_began_anew_while_we_were_away_does_not_keep_its_old_measures() -> None:
    table = Table()
    table.session("q", "other")
    table.measures.begin()
    table.snapshot("other", Offered="1")
    table.live("q", Answered="9")
    assert table.prove() == (0, 0)
    assert table.published["q"] == {"Answered": "9"}


def test_live_alone_does_not_erase_what_a_row_from_before_a_restart_has_in_the_topic() -> None:
    before = Table()
    before.session("q", "other")
    after = Table(before.persisted)
    after.published = before.published
    after.measures.begin()
    after.snapshot("other", Offered="1")
    after.live("q", Answered="9")
    after.end()
    after.live("q", Answered="10")
    assert after.published["q"] == {"Offered": "1"}
    after.snapshot("q", Offered="2", Answered="10")
    assert after.published["q"] == {"Offered": "2", "Answered": "10"}


def test_a_row_from_before_a_restart_that_a_proven_snapshot_lacks_began_anew() -> None:
    before = Table()
    before.session("q", "other")
    after = Table(before.persisted)
    after.published = before.published
    after.measures.begin()
    after.snapshot("other", Offered="1")
    after.live("q", Answered="9")
    after.end()
    after.live("q", Talking="1")
    assert after.prove() == (0, 0)
    assert after.published["q"] == {"Answered": "9", "Talking": "1"}


def test_what_only_live_said_before_the_link_broke_is_left_to_the_next_snapshot() -> None:
    table = Table()
    table.session("q")
    table.measures.begin()
    table.live("q", Offered="9")
    table.measures.begin()
    table.snapshot("q", Offered="9")
    assert table.published == {"q": {"Offered": "9"}}


def test_a_new_row_does_not_wait() -> None:
    table = Table()
    table.measures.begin()
    table.live("new", Offered="1")
    table.live("new", Answered="1")
    assert table.published == {"new": {"Offered": "1", "Answered": "1"}}


def test_rows_that_the_snapshot_lacks_are_deleted_with_the_reason() -> None:
    table = Table()
    table.session("a", "b")
    assert table.session("a") == (1, 0)
    [event] = table.events
    assert (event.type, event.key, event.data.reason) == (
        "streamd.measure.deleted",
        TEXT + "b",
        "absent_from_snapshot",
    )
    assert set(table.published) == {"a"}
    assert set(table.persisted) == {name("a")}


def test_rows_known_from_before_a_restart_are_deleted_with_their_identity() -> None:
    before = Table()
    before.session("a", "b")
    after = Table(before.persisted)
    assert after.session("a") == (1, 0)
    assert after.events[0].data.keys == {"queueId": "b"}
    assert set(after.persisted) == {name("a")}


def test_a_key_whose_append_ends_after_its_session_is_retired_like_any_other() -> None:
    table = Table()
    table.session("a")
    stored = dict(table.persisted)
    table.live("late", Offered="1")  # what becomes of that append is not known when the session ends
    table.measures.doubt(stored)
    assert table.session("a") == (1, 0)
    assert set(table.published) == {"a"}
    assert set(table.persisted) == {name("a")}


@pytest.mark.parametrize("deletes", [False, True])
def test_a_key_whose_append_is_lost_is_known_again_once_it_is_heard_of(deletes: bool) -> None:
    """Neither its row nor its end is taken for published or kept before that."""
    table = Table()
    table.session("a")
    published, stored = dict(table.published), dict(table.persisted)
    if deletes:
        table.apply("a", "LIVE", "DELETE")
    else:
        table.live("a", Offered="2")
        table.live("b", Offered="2")
    table.published, table.persisted = published, stored
    table.measures.doubt(stored)
    table.measures.begin()
    table.snapshot("a", Offered="2")
    table.live("b", Offered="2")
    table.prove()
    assert table.published == {"a": {"Offered": "2"}, "b": {"Offered": "2"}}
    assert set(table.persisted) == {name(key) for key in "ab"}


def test_the_key_set_is_written_only_when_a_row_comes_or_goes() -> None:
    table = Table()
    table.measures.begin()
    items: list[Event | State] = []
    changes: dict[str, bytes | None] = {}
    message = MeasureMessage(keys={"queueId": "a"}, payload_type="LIVE", event_action="UPSERT")
    event = normalise(message, TEXT + "a", RECEIVED, Typing())
    table.measures.apply(event, Typing(), items, changes)
    assert set(changes) == {name("a")}
    changes.clear()
    table.measures.apply(event, Typing(), items, changes)
    assert changes == {}


def test_a_row_touched_by_live_is_not_stale() -> None:
    table = Table()
    table.session("a", "b")
    table.measures.begin()
    table.snapshot("a", Offered="1")
    table.live("b", Offered="2")
    table.end()
    assert table.prove() == (0, 0)


def test_the_rows_of_a_producer_share_the_names_of_their_measures() -> None:
    measures = MergedMeasures(PRODUCER, {})
    rows, names = 500, 20 * ["a measure whose name is long enough to be noticed, "]
    tracemalloc.start()
    try:
        for row in range(rows):
            values = {f"{name}{number}": "7" for number, name in enumerate(names)}
            message = MeasureMessage(
                keys={"queueId": f"{row}"},
                payload_type="INITIALIZING",
                event_action="UPSERT",
                measures=values,
            )
            measures.apply(normalise(message, f"{TEXT}{row}", RECEIVED, Typing()), Typing(), [], {})
        spent = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(measures) == rows
    assert spent / rows < len("".join(names)) / 2


def test_nearly_all_rows_vanish_only_when_the_next_snapshot_lacks_them_too() -> None:
    many = [f"q{number}" for number in range(100)]
    table = Table()
    table.session(*many)
    assert table.session(*many[:9]) == (0, 91)
    assert len(table.published) == 100
    assert table.session(*many[:9]) == (91, 0)
    assert len(table.published) == 9


def test_rows_that_come_back_are_not_doubted_any_more() -> None:
    many = [f"q{number}" for number in range(100)]
    table = Table()
    table.session(*many)
    table.session(*many[:5])
    assert table.session(*many) == (0, 0)
    assert table.session(*many[:5]) == (0, 95)


def test_nine_tenths_of_the_rows_may_vanish_at_once_and_so_may_twenty_of_any_number() -> None:
    many = [f"q{number}" for number in range(100)]
    table = Table()
    table.session(*many)
    assert table.session(*many[:10]) == (90, 0)
    few = Table()
    few.session(*many[:21])
    assert few.session("q0") == (20, 0)


names = st.sampled_from(["a", "b", "c"])
values = st.dictionaries(st.sampled_from(["Offered", "Answered"]), st.sampled_from("123"), max_size=2)
changes_of_truth = st.lists(st.tuples(names, st.none() | values), max_size=6)


@settings(max_examples=300)
@given(
    sessions=st.lists(st.tuples(changes_of_truth, changes_of_truth), max_size=4),
    seed=st.integers(0, 1000),
    restarts=st.booleans(),
)
def test_after_each_proven_snapshot_the_topic_shows_avayas_own_table(
    sessions: list[tuple[list[tuple[str, dict[str, str] | None]], list[tuple[str, dict[str, str] | None]]]],
    seed: int,
    restarts: bool,
) -> None:
    """Avaya's table changes while we are away and while its snapshot is on its way."""
    shuffle = random.Random(seed)
    truth: dict[str, dict[str, str]] = {}
    table = Table()
    for away, meanwhile in sessions:
        for key, measures in away:
            truth.pop(key, None) if measures is None else truth.setdefault(key, {}).update(measures)
        if restarts:
            published = table.published
            table = Table(table.persisted)
            table.published = published
        table.measures.begin()
        # Each row is sent as it is when its turn comes; a change after that comes as LIVE.
        unsent = list(truth)
        for key, measures in meanwhile:
            if unsent and shuffle.random() < 0.5:
                row = unsent.pop()
                if row in truth:
                    table.snapshot(row, **truth[row])
            if measures is None:
                truth.pop(key, None)
                table.apply(key, "LIVE", "DELETE")
            else:
                truth.setdefault(key, {}).update(measures)
                table.live(key, **measures)
        for row in unsent:
            if row in truth:
                table.snapshot(row, **truth[row])
        table.prove()
        assert table.published == truth
        assert set(table.persisted) == {name(key) for key in truth}
