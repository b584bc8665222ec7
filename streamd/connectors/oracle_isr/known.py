"""The recordings whose end is published: with what content, and when to read them again; pure.

Kept for seven days, and never more than MOST of them: what is forgotten and comes again is published again
under the same id.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from itertools import islice

import msgspec
from msgspec import Struct

from streamd.connectors.oracle_isr.normalise import LinkName

PREFIX = "known/"
DAYS = timedelta(days=7)
MOST = 250_000
"""Some 140 MB; of ten recordings a second the last seven hours, one more than a sweep goes back."""
FORGOTTEN_AT_ONCE = 500
# After the end nothing tells of changes: the archiver's come early, an operator's late (section 3).
SCHEDULE = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=24))


class Known(Struct, array_like=True, gc=False):
    """One recording. `noted` (when it became known) and `ended`: seconds since the epoch, by the server.

    `stage`: how many readings of the schedule are done. The call id is there to ask for it where
    a server does not take its own id: `isr_ucid` only where there is no `ingress_call_id`.
    """

    noted: float
    ended: float
    digest: bytes
    call_id: str
    second: str
    stage: int
    isr_ucid: str | None = None
    ingress_call_id: str | None = None

    @property
    def link(self) -> LinkName:
        return LinkName(self.call_id, self.second)

    @property
    def due(self) -> float | None:
        """Say when it is to be read again, in seconds since the epoch; None: never."""
        if self.stage >= len(SCHEDULE):
            return None
        return self.ended + SCHEDULE[self.stage].total_seconds()


def stage_at(ended: datetime, now: datetime) -> int:
    """Say how much of the schedule is past for a recording that is read now."""
    return sum(now - ended >= each for each in SCHEDULE)


class KnownSet:
    """All of them. What changes is given by `take_changes`, for the commit that carries the events."""

    def __init__(self, stored: Mapping[str, bytes], most: int = MOST) -> None:
        decode = msgspec.msgpack.Decoder(Known).decode
        found = [(name.removeprefix(PREFIX), decode(value)) for name, value in stored.items()]
        found.sort(key=lambda each: each[1].noted)
        self._by_id = dict(found)  # the order is that in which they became known
        self._links: dict[LinkName, int] = {}
        for _, each in found:
            self._count(each.link, 1)
        self._due = [(each.due, id_) for id_, each in found if each.due is not None]
        heapify(self._due)
        self._changed: set[str] = set()
        self._most = most

    def __contains__(self, recording_id: object) -> bool:
        return recording_id in self._by_id

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, recording_id: str) -> Known | None:
        """Give what is known of a recording."""
        return self._by_id.get(recording_id)

    def has_link(self, link: LinkName) -> bool:
        """Tell whether a recording of this link has ended."""
        return link in self._links

    def note(self, recording_id: str, known: Known) -> None:
        """Know a recording, newly or as it is now."""
        if recording_id not in self._by_id:
            self._count(known.link, 1)
        self._by_id[recording_id] = known
        self._changed.add(recording_id)
        if known.due is not None:
            heappush(self._due, (known.due, recording_id))

    def due(self, now: datetime, most: int) -> list[str]:
        """Give what is to be read again by now, the first due first; `note` says that one was."""
        found: dict[str, float] = {}
        while self._due and self._due[0][0] <= now.timestamp() and len(found) < most:
            at, recording_id = heappop(self._due)
            known = self._by_id.get(recording_id)
            if known is not None and known.due == at:
                found[recording_id] = at
        for recording_id, at in found.items():
            heappush(self._due, (at, recording_id))
        return list(found)

    def forget_old(self, now: datetime) -> None:
        """Forget some of what is known for more than seven days, and the oldest where there are too many."""
        oldest = (now - DAYS).timestamp()
        for recording_id, known in list(islice(self._by_id.items(), FORGOTTEN_AT_ONCE)):
            if known.noted >= oldest and len(self._by_id) <= self._most:
                return
            del self._by_id[recording_id]
            self._count(known.link, -1)
            self._changed.add(recording_id)

    def take_changes(self) -> dict[str, bytes | None]:
        """Give what has changed since the last time, as changes of the keyed state."""
        changed, self._changed = self._changed, set()
        found: dict[str, bytes | None] = {}
        for recording_id in changed:
            known = self._by_id.get(recording_id)
            found[f"{PREFIX}{recording_id}"] = None if known is None else msgspec.msgpack.encode(known)
        return found

    def _count(self, link: LinkName, by: int) -> None:
        count = self._links.get(link, 0) + by
        if count:
            self._links[link] = count
        else:
            del self._links[link]


def instant(seconds: float) -> datetime:
    """Give seconds since the epoch as an instant."""
    return datetime.fromtimestamp(seconds, UTC)
