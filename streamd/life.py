"""The proof of life of one session: through when all is handed over, or told to be missing. No I/O.

`Continuous` is that of a link whose silence is a loss: while it is down, a gap grows with the time, and the
proof goes with it. `Walked` is that of windows that are walked later: while nobody walks, it stands still.
"""

from __future__ import annotations

from datetime import datetime

from streamd.connector import Clock
from streamd.instant import Instant, instant
from streamd.spool.proofs import Proof


class Continuous:
    """What a session proves of whose time every stretch is either received or inside a gap."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connected: Instant | None = None
        self._declared = False
        self._last_proof: datetime | None = None
        self._proven: Instant | None = None
        self.through: Instant | None = None

    def begin(self, alive: datetime | None) -> None:
        """Go on from the last proof of life, from before this process."""
        self.through = instant(alive, self._clock) if alive else None

    def connect(self, at: datetime) -> Instant:
        """Go on from where the vendor delivers again: the gap ends there, and hides what came before."""
        self._connected = instant(at, self._clock)
        self._last_proof = self._proven = None
        self._declared = False
        return self._connected

    def disconnect(self) -> None:
        """Prove nothing until the hole is declared."""
        self._connected = None

    def declare(self) -> None:
        """Let the proof go with the time from now on: the gap that is open is committed."""
        self._declared = True

    def prove(self, proven: datetime | None) -> Proof:
        """Say what is proven: through now while the hole is declared, else what the session proves.

        From `connect` on the link's gap reaches to that instant, and it began before all that the former
        connection had read and not committed: so the proof never needs to lie before it.
        """
        if self._connected is None:
            if self._declared:
                self.through = instant(self._clock.now(), self._clock)
            return Proof(None, self.through.told(self._clock) if self.through else None)
        if proven is not None and proven != self._last_proof:
            self._last_proof, self._proven = proven, instant(proven, self._clock)
        self.through = self._connected
        if self._proven is not None and self._proven.monotonic > self._connected.monotonic:
            self.through = self._proven
        at = self.through.told(self._clock)
        return Proof(at, at)


class Walked:
    """What a session proves whose windows the vendor keeps: its watermark, by the vendor's clock.

    What a vendor that is ahead of us has proven of our future is left for then: told now it would be a clock
    of ours that went back, at the next start, and completeness of what nobody has lived.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._walking = False
        self._watermark: datetime | None = None
        self.through: Instant | None = None

    def begin(self, alive: datetime | None) -> None:
        """Go on from the watermark of before this process."""
        self._watermark = alive

    def connect(self, at: datetime) -> Instant:
        """Walk on. `at` is where the first walk of all begins; later the watermark tells more."""
        self._walking = True
        self._watermark = self._watermark or at
        return instant(at, self._clock)

    def disconnect(self) -> None:
        """Stand still."""
        self._walking = False

    def declare(self) -> None:
        """Nothing is missed, so nothing is declared."""

    def prove(self, proven: datetime | None) -> Proof:
        """Say how far the walk has come."""
        if self._walking:
            self._watermark = proven or self._watermark
        through = None if self._watermark is None else min(self._watermark, self._clock.now())
        return Proof(through if self._walking else None, through)
