"""Which of the configured servers to use; no I/O, the time is passed in (vendors/o2g.md, section 1.10)."""

from __future__ import annotations

_MOST_PATIENCE = 16
_RELAPSE_FACTOR = 2


class Hosts:
    """Alternates on failure, and goes back to the first once that has been well for long enough.

    `patience` grows while going back does not last, so that a server that flaps moves nobody to and fro.
    """

    def __init__(self, count: int, failback_seconds: float) -> None:
        self.current = 0
        self._count = count
        self._failback_seconds = failback_seconds
        self._patience = 1
        self._well_since: float | None = None
        self._back_at: float | None = None

    def failed(self, now: float) -> None:
        """Note that the current one could not be used: the next is tried."""
        if self._back_at is not None and self.current == 0:
            lasted = now - self._back_at >= self._failback_seconds * _RELAPSE_FACTOR
            self._patience = 1 if lasted else min(self._patience * 2, _MOST_PATIENCE)
            self._back_at = None
        self.current = (self.current + 1) % self._count
        self._well_since = None

    def observed(self, well: bool, now: float) -> bool:
        """Note how the first one is while another is used; tell whether to go back to it."""
        if not well:
            self._well_since = None
        elif self._well_since is None:
            self._well_since = now
        return well and self._well_since is not None and now - self._well_since >= self.wait

    def went_back(self, now: float) -> None:
        """Note that the first one is used again."""
        self.current = 0
        self._well_since = None
        self._back_at = now

    @property
    def wait(self) -> float:
        """Give the seconds for which the first one has to be well without a break."""
        return self._failback_seconds * self._patience

    @property
    def is_first(self) -> bool:
        """Tell whether the preferred one is used."""
        return self.current == 0

    def __repr__(self) -> str:
        return f"Hosts(current={self.current} of {self._count}, patience={self._patience})"
