"""Choose the partition of a key as Kafka's own default partitioner does: consumers can co-partition."""

from __future__ import annotations

from aiokafka.partitioner import murmur2

_CACHED_KEYS = 200_000  # about 30 MB; hashing costs 7.4 us a key in Python (LIBRARIES.md, 1.1)


class Partitioner:
    """Give key -> partition, remembering the hashes of the keys seen last."""

    def __init__(self) -> None:
        self._hashes: dict[bytes, int] = {}

    def partition(self, key: bytes, partitions: int) -> int:
        """Give the partition of `key` in a topic of `partitions`."""
        hashed = self._hashes.get(key)
        if hashed is None:
            if len(self._hashes) >= _CACHED_KEYS:
                self._hashes.clear()
            hashed = self._hashes[key] = murmur2(key) & 0x7FFFFFFF
        return hashed % partitions
