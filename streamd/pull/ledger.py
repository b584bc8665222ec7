"""Durable jobs, and watermarks: values of one type in the connector's keyed state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

import msgspec

J = TypeVar("J")


class Kept(Protocol):
    """The keyed state as it is committed; a `connector.Context`."""

    def state(self, name: str) -> bytes | None: ...
    def states(self, prefix: str) -> Mapping[str, bytes]: ...


class Ledger(Generic[J]):
    """The values whose names begin with `prefix`, such as `job/`.

    Nothing is kept in memory: what is read is what is committed, however an append ended. What changes is
    handed to `append` beside the events that belong to it, so that both are committed or none.
    """

    def __init__(self, kept: Kept, prefix: str, kind: type[J]) -> None:
        self._kept = kept
        self._prefix = prefix
        self._decoder = msgspec.json.Decoder(kind)

    def get(self, key: str) -> J | None:
        """Give one value; raises msgspec.ValidationError where it is of another type."""
        stored = self._kept.state(self._prefix + key)
        return None if stored is None else self._decoder.decode(stored)

    def all(self) -> dict[str, J]:
        """Give all, by key in its order; raises as `get` does."""
        stored = self._kept.states(self._prefix)
        return {
            name.removeprefix(self._prefix): self._decoder.decode(stored[name]) for name in sorted(stored)
        }

    def put(self, key: str, job: J) -> dict[str, bytes | None]:
        """Give the change that sets a value."""
        return {self._prefix + key: msgspec.json.encode(job)}

    def remove(self, key: str) -> dict[str, bytes | None]:
        """Give the change that removes one."""
        return {self._prefix + key: None}
