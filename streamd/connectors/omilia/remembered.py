"""Remember which records were accepted, a bounded number of them, in little memory."""

from __future__ import annotations

from collections.abc import Iterable

from streamd.connectors.omilia.keys import Keys


class Remembered:
    """The latest `most` ids at least, and twice as many at most; 64 bits of each are kept.

    So one record in 10^13 would be taken for one that it is not, were all of a million ids in here.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._latest = Keys(most)
        self._earlier: Keys | None = None

    def __contains__(self, key: int) -> bool:
        return key in self._latest or (self._earlier is not None and key in self._earlier)

    def add(self, keys: Iterable[int]) -> None:
        """Remember these; the earliest are forgotten by the `most` when there are too many."""
        for key in keys:
            if not self._latest.room:
                self._earlier, self._latest = self._latest, Keys(self._most)
            self._latest.add(key)
