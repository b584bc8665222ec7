"""What was published is not published again, and what has changed is, one revision on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from streamd.config import PrivacyConfig
from streamd.connectors.huawei_aicc.normalise import Fact, Normaliser
from streamd.connectors.huawei_aicc.rows import CDR
from streamd.connectors.huawei_aicc.seen import SLICES, Seen, slice_prefix, stale
from streamd.errors import BadRecord
from streamd.privacy import Privacy

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def leg(number: str, cause: str = "1", call: str = "7") -> Fact:
    row = ["dev", "acc", "1", "", call, *[""] * 11, cause, number]
    return Normaliser(ZoneInfo("UTC"), Privacy(PrivacyConfig()), "AK").fact(CDR, row)


class Store:
    """A keyed state that takes the changes of each batch."""

    def __init__(self) -> None:
        self.state: dict[str, bytes] = {}
        self.asked = 0

    def states_of(self, names: Sequence[str]) -> dict[str, bytes]:
        self.asked += 1
        return {name: self.state[name] for name in names if name in self.state}

    def news(self, *facts: Fact, asked_at: datetime = NOW) -> list[tuple[str, int]]:
        seen = Seen(self.states_of, asked_at)
        found = [(fact.data.call_id_num, revision) for fact, revision in seen.news(facts)]  # type: ignore[union-attr]
        self.state.update(seen.changes)
        return found


def test_a_row_is_news_once_within_a_batch_and_across_batches() -> None:
    store = Store()
    assert store.news(leg("1"), leg("2"), leg("1")) == [("1", 1), ("2", 1)]
    assert store.news(leg("1"), leg("-1")) == [("-1", 1)]
    assert store.news(leg("1", call="8")) == [("1", 1)]


def test_a_row_that_has_changed_is_news_under_the_next_revision() -> None:
    store = Store()
    store.news(leg("1"))
    assert store.news(leg("1", cause="2")) == [("1", 2)]
    assert store.news(leg("1", cause="2")) == []
    assert store.news(leg("1", cause="1")) == [("1", 3)]


def test_what_an_older_export_says_is_no_change() -> None:
    store = Store()
    store.news(leg("1", cause="2"), asked_at=NOW)
    assert store.news(leg("1", cause="1"), asked_at=NOW - timedelta(seconds=5)) == []


def test_a_batch_without_news_changes_nothing() -> None:
    store = Store()
    store.news(leg("1"))
    seen = Seen(store.states_of, NOW)
    assert list(seen.news([leg("1")])) == []
    assert seen.changes == {}


def test_a_batch_is_looked_up_at_once() -> None:
    store = Store()
    assert len(store.news(*(leg("1", call=str(number)) for number in range(50)))) == 50
    assert store.asked == 1


def test_what_cannot_be_understood_is_news_once() -> None:
    store = Store()
    for wanted in (True, False):
        seen = Seen(store.states_of, NOW)
        bad = BadRecord("short", b"a,b", "x")
        assert list(seen.bad_news([bad, bad])) == ([bad] if wanted else [])
        store.state.update(seen.changes)


def test_the_set_is_forgotten_once_no_window_reaches_its_rows() -> None:
    store = Store()
    store.news(leg("1"), leg("1", call="8"))
    prefixes = {slice_prefix(number) for number in range(SLICES)}
    assert all(any(name.startswith(prefix) for prefix in prefixes) for name in store.state)
    keep = timedelta(hours=48)
    assert stale(store.state, NOW + keep, keep) == []
    assert sorted(stale(store.state, NOW + keep + timedelta(seconds=1), keep)) == sorted(store.state)


def test_a_row_takes_little_room() -> None:
    store = Store()
    store.news(*(leg(str(number), call=str(number // 3)) for number in range(300)))
    assert sum(len(name) + len(value) for name, value in store.state.items()) < 40 * 300
