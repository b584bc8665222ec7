"""One simulator per vendor, of the same name as its connector: for `demo`, `simulate` and the tests."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Sent(NamedTuple):
    """One event that a simulator handed over: when (time.time()), within which scope, and what it is."""

    at: float
    scope: str
    identity: Hashable


class DemoSource(Protocol):
    """What `streamd demo` needs of a simulator; its package's `open_demo(rate, ingress_port=0)` yields one.

    `rate` is events a second; at `ingress_port` of this machine the daemon takes what is pushed, 0: nowhere.
    """

    table: str
    """The TOML table of a connector that is pointed at it."""

    def sent(self) -> Sequence[Sent]:
        """Give everything it has handed over."""
        ...

    def identity(self, event: Mapping[str, Any]) -> Hashable | None:
        """Say which of `sent` a CloudEvent stands for; None: none (state, or streamd's own)."""
        ...

    async def disturb(self) -> None:
        """Break the link once, as networks do."""
        ...

    def quiet(self) -> None:
        """Send nothing more."""
        ...
