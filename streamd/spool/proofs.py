"""The proofs of life: asked of each session with each commit, and what they last were."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import NamedTuple

from streamd.connector import Clock

_LEAST_SECONDS, _MOST_SECONDS = 0.1, 0.4  # between two questions
_SECONDS_EACH = 0.002  # each takes 10 us: all of them, half a hundredth of a core

Alive = dict[tuple[str, str], datetime]
"""(connector, session) -> the instant through which it proved to have committed all it read."""


class Proof(NamedTuple):
    """What a session can say of itself: `alive`, what it proved (None: nothing new), and `through`, the
    instant before which all is handed over or inside a declared gap (None: it cannot tell)."""

    alive: datetime | None
    through: datetime | None


class Proofs:
    """Who is to be asked. `alive`: the last proofs from before a restart."""

    def __init__(self, alive: Alive, clock: Clock) -> None:
        self.alive = alive
        self._clock = clock
        self._sessions: dict[tuple[str, str], Callable[[], Proof]] = {}
        self._forgotten: set[tuple[str, str]] = set()
        self._asked = float("-inf")

    def __bool__(self) -> bool:
        return bool(self._sessions or self._forgotten)

    def add(self, connector: str, session: str, proof: Callable[[], Proof]) -> None:
        """Ask `proof` for this session from now on."""
        self._sessions[connector, session] = proof

    def remove(self, connector: str, session: str) -> None:
        """Ask that session no more."""
        self._sessions.pop((connector, session), None)

    def keep_only(self, connector: str, sessions: Collection[str]) -> None:
        """Forget what this connector's other sessions have ever proven."""
        strangers = {key for key in self.alive if key[0] == connector and key[1] not in sessions}
        for stranger in strangers:
            del self.alive[stranger]
        self._forgotten |= strangers

    def ask(self) -> tuple[dict[tuple[str, str], datetime | None], dict[str, datetime | None]]:
        """Give what is new: session -> alive (None: forget it), connector -> the earliest `through` of its
        own."""
        now = self._clock.monotonic()
        rest = min(max(_LEAST_SECONDS, _SECONDS_EACH * len(self._sessions)), _MOST_SECONDS)
        if now - self._asked < rest:
            return {}, {}
        self._asked = now
        alive: Alive = {}
        through: dict[str, datetime | None] = {}
        for session, prove in self._sessions.items():
            proof = prove()
            if proof.alive is not None:
                alive[session] = proof.alive
            connector = session[0]
            through[connector] = _earlier(through.get(connector, proof.through), proof.through)
        self.alive |= alive
        forgotten, self._forgotten = dict.fromkeys(self._forgotten), set()
        return {**forgotten, **alive}, through


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else min(one, other)
