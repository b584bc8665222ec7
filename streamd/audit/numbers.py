"""Which sequence numbers were seen, one bit each."""

from __future__ import annotations

from collections.abc import Iterator

_MOST = 1 << 33  # a GiB of bits; no source comes that far in one epoch


class Numbers:
    """A set of the numbers from 1 on, for sources that leave few out."""

    def __init__(self) -> None:
        self.count = 0
        self.highest = 0
        self._bits = bytearray()

    def add(self, number: int) -> bool:
        """Take one number in; tell whether it is new. Raises ValueError for one that cannot be."""
        if not 0 < number < _MOST:
            raise ValueError(f"{number} is no sequence number")
        place, bit = number >> 3, 1 << (number & 7)
        if place >= len(self._bits):
            self._bits.extend(bytes(max(place + 1 - len(self._bits), len(self._bits))))
        if self._bits[place] & bit:
            return False
        self._bits[place] |= bit
        self.count += 1
        self.highest = max(self.highest, number)
        return True

    def __contains__(self, number: int) -> bool:
        place = number >> 3
        return place < len(self._bits) and bool(self._bits[place] & 1 << (number & 7))

    def missing(self, through: int) -> Iterator[int]:
        """Give those from 1 through `through` that were not seen, in order."""
        for place in range((through >> 3) + 1):
            seen = self._bits[place] if place < len(self._bits) else 0
            if seen != 0xFF:
                yield from (
                    number
                    for number in range(max(place << 3, 1), min((place << 3) + 7, through) + 1)
                    if not seen & (1 << (number & 7))
                )
