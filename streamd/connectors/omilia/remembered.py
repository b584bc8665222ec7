"""Remember which records were accepted, a bounded number of them, in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

# Three entries in five slots: 13 bytes an id. A Python set takes some hundred.
_SLOTS, _ENTRIES = 5, 3


class Remembered:
    """The latest `most` ids at least, and twice as many at most; 64 bits of each are kept.

    So one record in 10^13 would be taken for one that it is not, were all of a million ids in here.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._slots = most * _SLOTS // _ENTRIES + 1
        self._latest = self._empty()
        self._earlier: array[int] | None = None
        self._count = 0

    def __contains__(self, key: int) -> bool:
        key = key or 1
        if self._find(self._latest, key):
            return True
        return self._earlier is not None and self._find(self._earlier, key)

    def add(self, keys: Iterable[int]) -> None:
        """Remember these; the earliest are forgotten by the `most` when there are too many."""
        for key in keys:
            if self._count == self._most:
                self._earlier, self._latest, self._count = (self._latest, self._empty(), 0)
            table, slots = self._latest, self._slots
            key = key or 1
            slot = key % slots
            while there := table[slot]:
                if there == key:
                    break
                slot = slot + 1 if slot + 1 < slots else 0
            else:
                table[slot] = key
                self._count += 1

    def _find(self, table: array[int], key: int) -> bool:
        slots = self._slots
        slot = key % slots
        while there := table[slot]:
            if there == key:
                return True
            slot = slot + 1 if slot + 1 < slots else 0
        return False

    def _empty(self) -> array[int]:
        return array("Q", [0]) * self._slots
