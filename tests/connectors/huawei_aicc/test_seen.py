"""What was published is not published again, and what has changed is, one revision on."""

from __future__ import annotations

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

    def news(self, *facts: Fact, asked_at: datetime = NOW) -> list[tuple[str, int]]:
        seen = Seen(self.state.get, asked_at, NOW)
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
    seen = Seen(store.state.get, NOW, NOW)
    assert list(seen.news([leg("1")])) == []
    assert seen.changes == {}


def test_what_cannot_be_understood_is_news_once() -> None:
    store = Store()
    for wanted in (True, False):
        seen = Seen(store.state.get, NOW, NOW)
        assert seen.is_news(BadRecord("short", b"a,b", "x")) is wanted
        assert seen.is_news(BadRecord("short", b"a,b", "x")) is False
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
