"""What a snapshot may declare gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamd.keyed_set import KeyedSet


def test_a_known_key_that_the_snapshot_lacks_is_stale() -> None:
    keys = KeyedSet(["a", "b"])
    keys.begin()
    assert keys.seen("a") is False
    assert keys.end() == {"b"}


def test_a_key_that_is_new_since_the_opening_is_never_stale() -> None:
    keys = KeyedSet(["a"])
    keys.begin()
    assert keys.seen("new") is True
    assert keys.end() == {"a"}


def test_a_key_that_was_deleted_by_the_vendor_is_not_stale_too() -> None:
    keys = KeyedSet(["a"])
    keys.begin()
    assert keys.gone("a") is True
    assert keys.end() == frozenset()
    assert keys.gone("a") is False


def test_a_stale_key_stays_known_until_it_is_declared_gone() -> None:
    keys = KeyedSet(["a"])
    keys.begin()
    assert keys.end() == {"a"}
    assert "a" in keys
    keys.begin()
    assert keys.end() == {"a"}
    keys.gone("a")
    assert len(keys) == 0


def test_nothing_is_stale_outside_a_snapshot() -> None:
    keys = KeyedSet(["a", "b"])
    assert keys.end() == frozenset()
    keys.begin()
    keys.end()
    assert keys.end() == frozenset()


steps = st.lists(st.tuples(st.sampled_from(["seen", "gone"]), st.integers(0, 8)))


@given(known=st.sets(st.integers(0, 8)), before=steps, during=steps)
def test_stale_is_what_was_known_at_the_opening_less_what_was_touched_since(
    known: set[int], before: list[tuple[str, int]], during: list[tuple[str, int]]
) -> None:
    keys = KeyedSet(known)
    for action, key in before:
        getattr(keys, action)(key)
    at_opening = set(keys)
    keys.begin()
    for action, key in during:
        getattr(keys, action)(key)
    assert keys.end() == at_opening - {key for _, key in during}
