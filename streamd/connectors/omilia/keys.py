"""Keep 64-bit keys in little memory: 13 bytes for each that there is room for. A Python set takes 81."""

from __future__ import annotations

from array import array

# Three entries in five slots at most; a slot of 0 is free.
_SLOTS, _ENTRIES = 5, 3


class Keys:
    """A set of at most `most` keys; 0 counts as 1."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.room = most
        """How many more it can take."""
        self._slots = most * _SLOTS // _ENTRIES + 1
        self._table = array("Q", [0]) * self._slots

    def __contains__(self, key: int) -> bool:
        return self._table[self._slot(key or 1)] != 0

    def add(self, key: int) -> None:
        """Add a key; there must be room."""
        slot = self._slot(key or 1)
        if not self._table[slot]:
            self._table[slot] = key or 1
            self.room -= 1

    def _slot(self, key: int) -> int:
        """Give the slot that a key has, or would have."""
        table, slots = self._table, self._slots
        slot = key % slots
        while (there := table[slot]) and there != key:
            slot = slot + 1 if slot + 1 < slots else 0
        return slot
