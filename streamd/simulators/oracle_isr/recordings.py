"""Keep every recording with its life, and find those that can be found."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct, field

PREFIX = "x-isr-ucid-"


class Fate(StrEnum):
    """Where a recording is in its life."""

    LIVE = "live"
    ENDING = "ending"
    """Over, and not to be found yet."""
    FINISHED = "finished"
    DELETED = "deleted"
    LOST = "lost"
    """Over, and never to be found."""


class Segment(Struct):
    """One file of a recording; times in epoch seconds, `end` is None and `segment_id` 0 while it runs."""

    sequence: int
    tmp_id: int
    start: float
    stem: str
    """The file's name without its end."""
    end: float | None = None
    segment_id: int = 0
    archived: bool = False
    location: int = 1
    directory: str = ""
    remarks: str = ""
    pause_ms: int = 0

    @property
    def filename(self) -> str:
        return f"{self.stem}.wav" if self.archived else f"{self.stem}.rpdd"


class Revision(Struct, frozen=True):
    """What changed after the end, and when (the recorder's clock)."""

    at: float
    what: str


class Recording(Struct):
    """One recording of the truth, with what was told about it.

    `revision` counts changes since it was finished; `revisions_given` holds those that answers showed in
    full, `detailed` of them. `listed_live` counts the answers that showed it live, `listed` the lists that
    had it once it was finished.
    A `hidden` one belongs to another account: FACE never shows it to our user. Of one that is not `pushed`
    nothing is notified.
    """

    number: int
    tmp_id: int
    isr_ucid: str
    ingress_call_id: str
    ani: str
    dnis: str
    start: float
    visible_at: float
    segments: list[Segment]
    agent_id: str = ""
    custom: dict[str, str] = field(default_factory=dict)
    end: float | None = None
    recording_id: int = 0
    fate: Fate = Fate.LIVE
    finished_at: float = 0.0
    hidden: bool = False
    pushed: bool = True
    paused_since: float | None = None
    delete_flag: bool = False
    revisions: list[Revision] = field(default_factory=list)
    listed_live: int = 0
    listed: int = 0
    detailed: int = 0
    revisions_given: list[int] = field(default_factory=list)

    @property
    def revision(self) -> int:
        return len(self.revisions)

    @property
    def call_key(self) -> str:
        """Return what links its start to its end: the call's id, else the UCID without its prefix."""
        return self.ingress_call_id or self.isr_ucid.removeprefix(PREFIX)

    @property
    def shown_id(self) -> int:
        """Return the id that FACE knows it by now."""
        return self.recording_id or self.tmp_id

    def to_json(self) -> dict[str, Any]:
        """Return what a judge in another process needs."""
        return {
            **msgspec.structs.asdict(self),
            "segments": [
                {**msgspec.structs.asdict(each), "filename": each.filename} for each in self.segments
            ],
            "revision": self.revision,
            "call_key": self.call_key,
        }


def end_of(recording: Recording) -> float:
    assert recording.end is not None
    return recording.end


class Recordings:
    """All recordings by number, the live ones, and the finished ones by their end.

    `custom_names` are the custom data fields there are, `longest` is in seconds, of those that are finished.
    """

    def __init__(self) -> None:
        self.all: list[Recording] = []
        self.live: dict[int, Recording] = {}
        self.by_id: dict[int, Recording] = {}
        self.custom_names: set[str] = set()
        self.longest = 0.0
        self._by_end: list[Recording] = []
        self._by_call: dict[str, list[Recording]] = {}

    def add(self, recording: Recording) -> None:
        self.all.append(recording)
        self.live[recording.tmp_id] = recording
        for name in {recording.isr_ucid, recording.ingress_call_id} - {""}:
            self._by_call.setdefault(name, []).append(recording)

    def leave(self, recording: Recording) -> None:
        """Take one out of the live ones."""
        self.live.pop(recording.tmp_id, None)

    def finish(self, recording: Recording) -> None:
        self.by_id[recording.recording_id] = recording
        self.longest = max(self.longest, end_of(recording) - recording.start)
        insort(self._by_end, recording, key=end_of)

    def remove(self, recording: Recording) -> None:
        """Take one out of the finished ones."""
        if self.by_id.pop(recording.recording_id, None) is not None:
            place = bisect_left(self._by_end, end_of(recording), key=end_of)
            while self._by_end[place] is not recording:
                place += 1
            del self._by_end[place]

    def finished(self, earliest_end: float | None, latest_end: float | None) -> Sequence[Recording]:
        """Return those that ended within the bounds, which count in; None: no bound."""
        first = 0 if earliest_end is None else bisect_left(self._by_end, earliest_end, key=end_of)
        last = len(self._by_end) if latest_end is None else bisect_right(self._by_end, latest_end, key=end_of)
        return self._by_end[first:last]

    def of_call(self, name: str) -> Iterable[Recording]:
        """Return those with this isrUcid or ingressCallId, whatever their fate."""
        return self._by_call.get(name, ())
