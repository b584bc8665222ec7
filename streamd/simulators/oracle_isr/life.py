"""Let recordings begin, change, end and go, as section 3 of vendors/oracle_isr.md tells it.

Each function takes the instant it happens at, in the recorder's clock, and raises ValueError where the
recording's state does not allow it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count

from msgspec import Struct

from streamd.simulators.oracle_isr.notifier import Notifier
from streamd.simulators.oracle_isr.options import OracleIsrOptions
from streamd.simulators.oracle_isr.recordings import PREFIX, Fate, Recording, Recordings, Revision, Segment
from streamd.simulators.oracle_isr.schedule import Schedule
from streamd.simulators.oracle_isr.times import millis

_ID_RANGE = 1_000_000  # ids of one seed

Change = Callable[[Recording, float], None]


class Caller(Struct, frozen=True):
    """Who is recorded, and what is noted about it; an id that is None is made up."""

    ani: str = "1001"
    dnis: str = "2002"
    ingress_call_id: str | None = None
    isr_ucid: str | None = None
    agent_id: str = ""
    custom: Mapping[str, str] = {}
    hidden: bool = False
    pushed: bool = True


class Life:
    """What may happen to a recording."""

    def __init__(
        self, options: OracleIsrOptions, recordings: Recordings, schedule: Schedule, notifier: Notifier
    ) -> None:
        self._options = options
        self._recordings, self._schedule, self._notifier = recordings, schedule, notifier
        first = (options.seed - 1) * _ID_RANGE
        self._numbers, self._tmp_ids = count(), count(first + 11)
        self._ids, self._segment_ids = count(first + 501), count(first + 900)

    def begin(self, at: float, caller: Caller, *, visible_at: float = 0.0) -> Recording:
        """Begin to record; it can be found from `visible_at` on."""
        number, at = next(self._numbers), millis(at)
        call = f"{number + 1}-{28_000 + self._options.seed}@192.0.2.8"
        ingress = call if caller.ingress_call_id is None else caller.ingress_call_id
        recording = Recording(
            number=number,
            tmp_id=next(self._tmp_ids),
            isr_ucid=f"{PREFIX}{ingress or call}" if caller.isr_ucid is None else caller.isr_ucid,
            ingress_call_id=ingress,
            ani=caller.ani,
            dnis=caller.dnis,
            start=at,
            visible_at=visible_at,
            segments=[],
            agent_id=caller.agent_id,
            custom=dict(caller.custom),
            hidden=caller.hidden,
            pushed=caller.pushed,
        )
        self._recordings.custom_names.update(caller.custom)
        self._recordings.add(recording)
        self._notifier.announce("RECORDING_STARTED_EVENT", recording, at)
        self._begin_segment(recording, at)
        return recording

    def pause(self, recording: Recording, at: float) -> None:
        _demand(recording, Fate.LIVE)
        if recording.paused_since is not None:
            raise ValueError("is paused already")
        recording.paused_since = at
        self._notifier.announce("RECORDING_PAUSED_EVENT", recording, at)

    def resume(self, recording: Recording, at: float) -> None:
        _demand(recording, Fate.LIVE)
        if recording.paused_since is None:
            raise ValueError("is not paused")
        self._end_pause(recording, at)
        self._notifier.announce("RECORDING_RESUMED_EVENT", recording, at)

    def split(self, recording: Recording, at: float) -> None:
        """End the segment and begin another."""
        _demand(recording, Fate.LIVE)
        paused = recording.paused_since is not None
        self._end_segment(recording, at)
        self._begin_segment(recording, at)
        if paused:
            recording.paused_since = at

    def end(self, recording: Recording, at: float, gap: float | None = None) -> None:
        """End it; it can be found again after `gap` seconds (None: as usual, inf: never)."""
        _demand(recording, Fate.LIVE)
        gap = self._options.gap_seconds if gap is None else gap
        self._end_segment(recording, at)
        recording.end = recording.segments[-1].end
        recording.fate = Fate.LOST if gap == math.inf else Fate.ENDING
        self._recordings.leave(recording)
        self._notifier.announce("RECORDING_ENDED_EVENT", recording, at)
        if gap != math.inf:
            self.plan(at + gap, recording, Fate.ENDING, self.finish)

    def finish(self, recording: Recording, at: float, *, archive: bool = True) -> None:
        """Let it be found under its new ids; `archive`: and be archived in time."""
        _demand(recording, Fate.ENDING, Fate.LOST)
        recording.recording_id, recording.fate, recording.finished_at = next(self._ids), Fate.FINISHED, at
        for segment in recording.segments:
            segment.segment_id = next(self._segment_ids)
        self._recordings.finish(recording)
        if archive and self._options.archive_seconds != math.inf:
            self.plan(at + self._options.archive_seconds, recording, Fate.FINISHED, self.archive)

    def archive(self, recording: Recording, at: float) -> None:
        """Move its files (again), which get new names the first time."""
        _demand(recording, Fate.FINISHED)
        moment = datetime.fromtimestamp(at, UTC)
        for segment in recording.segments:
            segment.location = 4 if not segment.archived else segment.location + 1
            segment.archived = True
            segment.directory = datetime.fromtimestamp(segment.start, UTC).strftime("/%Y-%m-%d/%H/%M")
            segment.remarks = (
                "Recording was archived by archiver ID 2 process ID isr-archiver16587116331 at "
                f"{moment:%a %b %d %H:%M:%S} UTC {moment:%Y}"
            )
        recording.revisions.append(Revision(at, "archived"))

    def change(
        self, recording: Recording, at: float, custom: Mapping[str, str], agent_id: str | None = None
    ) -> None:
        """Note something else about it, whether it is live or finished."""
        _demand(recording, Fate.LIVE, Fate.FINISHED)
        recording.custom |= custom
        self._recordings.custom_names.update(custom)
        recording.agent_id = recording.agent_id if agent_id is None else agent_id
        if recording.fate is Fate.FINISHED:
            recording.revisions.append(Revision(at, "changed"))

    def delete(self, recording: Recording, at: float) -> None:
        """Mark it as deleted; it goes in time."""
        _demand(recording, Fate.FINISHED)
        recording.delete_flag = True
        recording.revisions.append(Revision(at, "marked"))
        self.plan(at + self._options.delete_seconds, recording, Fate.FINISHED, self.remove)

    def remove(self, recording: Recording, at: float) -> None:
        """Let it be gone."""
        _demand(recording, Fate.FINISHED)
        recording.fate = Fate.DELETED
        recording.revisions.append(Revision(at, "removed"))
        self._recordings.remove(recording)

    def plan(self, at: float, recording: Recording, fate: Fate, action: Change) -> None:
        """Let `action` happen at `at`, if the recording is in the state for it then."""
        self._schedule.at(at, lambda when: action(recording, when) if recording.fate is fate else None)

    def _begin_segment(self, recording: Recording, at: float) -> None:
        place = len(recording.segments)
        stem = f"{recording.dnis}-{recording.call_key}.seg{place}"
        recording.segments.append(Segment(place + 1, next(self._tmp_ids), millis(at), stem))
        self._notifier.announce("SEGMENT_STARTED_EVENT", recording, at)

    def _end_segment(self, recording: Recording, at: float) -> None:
        if recording.paused_since is not None:
            self._end_pause(recording, at)
        recording.segments[-1].end = millis(max(at, recording.segments[-1].start))
        self._notifier.announce("SEGMENT_ENDED_EVENT", recording, at)

    def _end_pause(self, recording: Recording, at: float) -> None:
        assert recording.paused_since is not None
        recording.segments[-1].pause_ms += round((at - recording.paused_since) * 1000)
        recording.paused_since = None


def _demand(recording: Recording, *fates: Fate) -> None:
    if recording.fate not in fates:
        raise ValueError(f"recording {recording.number} is {recording.fate}")
