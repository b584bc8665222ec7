"""Which entities a snapshot should have shown and did not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")


class KeyedSet(Generic[K]):
    """Track the known keys of one source over its snapshots.

    `begin` at each (re)opening, `seen` and `gone` for whatever the vendor says, `end` once its snapshot is
    whole: what was known before `begin` and untouched since is stale. A key that first shows up after
    `begin` is never stale, for a snapshot and the live changes race each other.
    """

    def __init__(self, known: Iterable[K] = ()) -> None:
        self._known = set(known)
        self._untouched: set[K] = set()

    def begin(self) -> None:
        """Open a snapshot: from now on every known key has to be seen again."""
        self._untouched = set(self._known)

    def seen(self, key: K) -> bool:
        """Note that `key` exists; return whether it is new."""
        self._untouched.discard(key)
        if key in self._known:
            return False
        self._known.add(key)
        return True

    def gone(self, key: K) -> bool:
        """Note that `key` exists no more; return whether it was known."""
        self._untouched.discard(key)
        if key not in self._known:
            return False
        self._known.discard(key)
        return True

    def end(self) -> frozenset[K]:
        """Close the snapshot and return the stale keys; they stay known until `gone`.

        A second `end` without a `begin` between returns nothing.
        """
        stale = frozenset(self._untouched)
        self._untouched = set()
        return stale

    def __contains__(self, key: object) -> bool:
        return key in self._known

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[K]:
        return iter(self._known)

    def __repr__(self) -> str:
        return f"KeyedSet(known={len(self._known)}, untouched={len(self._untouched)})"
