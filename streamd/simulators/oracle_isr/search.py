"""Find recordings by the criteria of a request (vendors/oracle_isr.md section 2)."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable, Mapping
from datetime import tzinfo

from msgspec import Struct

from streamd.simulators.oracle_isr.recordings import Fate, Recording, Recordings, Segment
from streamd.simulators.oracle_isr.times import read
from streamd.simulators.switches import Switches

_MOST = 1000
_NUMBER = re.compile(r"[0-9]{1,18}")
_TIMES = ("start", "earliestStart", "latestStart", "end", "earliestEnd", "latestEnd")
_CALL = ("isrUcid", "ingressCallId", "egressCallId", "ani", "from", "dnis", "to", "aor")
_TEXTS = frozenset({*_CALL, "filename", "recordingId", "tmpRecordingId"})


class Unsearchable(Exception):
    """A criterion cannot be understood; `message` names it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Criteria(Struct, frozen=True):
    """What is searched for; `texts` by the parameter's name, `times` in epoch seconds, as written."""

    texts: Mapping[str, str]
    times: Mapping[str, float]
    in_progress: bool
    most: int


def read_criteria(
    query: Mapping[str, str], zone: tzinfo, custom_names: Container[str], faults: Switches
) -> Criteria:
    """Return what `query` asks for; raise Unsearchable. What no criterion is narrows nothing (inferred)."""
    times = {name: _time(name, query[name], zone, faults) for name in _TIMES if name in query}
    in_progress = query.get("inProgress", "false") == "true"
    if in_progress and faults.has("live-bounds-ignored"):
        times = {}
    texts = {name: value for name, value in query.items() if name in _TEXTS or name in custom_names}
    return Criteria(texts, times, in_progress, _most(query))


def _time(name: str, text: str, zone: tzinfo, faults: Switches) -> float:
    try:
        at = read(text, zone)
    except ValueError as error:
        raise Unsearchable(f"Invalid value for parameter {name}: yyyy-MM-dd HH:mm:ss is expected") from error
    if "." in text and faults.has("fraction-refused"):
        raise Unsearchable(f"Invalid value for parameter {name}: yyyy-MM-dd HH:mm:ss is expected")
    return at


def _most(query: Mapping[str, str]) -> int:
    text = query.get("maxListLength", str(_MOST))
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= _MOST:
        raise Unsearchable("Invalid value for parameter maxListLength: 1 to 1000 is expected")
    return int(text)


def find_recordings(
    recordings: Recordings, criteria: Criteria, now: float, faults: Switches
) -> list[Recording]:
    """Return the recordings that match and that our user may see."""
    return [
        each
        for each in _candidates(recordings, criteria, faults)
        if _is_found(each, criteria, now)
        and _texts_match(each, criteria.texts, faults)
        and _times_match(each.start, each.end, criteria.times, faults)
    ]


def find_segments(
    recordings: Recordings, criteria: Criteria, now: float, faults: Switches
) -> list[tuple[Recording, Segment]]:
    """Return the segments that match, each with its recording; bounds are those of the segment."""
    without_file = {name: text for name, text in criteria.texts.items() if name != "filename"}
    wanted = criteria.texts.get("filename")
    found = (
        (each, segment)
        for each in _candidates(recordings, criteria, faults, slack=recordings.longest)
        if _is_found(each, criteria, now) and _texts_match(each, without_file, faults)
        for segment in each.segments
    )
    return [
        (each, segment)
        for each, segment in found
        if wanted in (None, segment.filename)
        and _times_match(segment.start, segment.end, criteria.times, faults)
    ]


def renamed(recordings: Recordings, criteria: Criteria) -> str:
    """Return the new name of the file that is asked for by its old one, if there is such a file."""
    old = criteria.texts.get("filename", "")
    if not old.endswith(".rpdd") or criteria.in_progress:
        return ""
    stem = old.removesuffix(".rpdd")
    files = (segment for each in recordings.by_id.values() for segment in each.segments)
    return next((each.filename for each in files if each.stem == stem and each.archived), "")


def _candidates(
    recordings: Recordings, criteria: Criteria, faults: Switches, slack: float = 0.0
) -> Iterable[Recording]:
    """Return what may match, by the narrowest index there is.

    `slack` (seconds): how long before its recording a segment may end.
    """
    texts = criteria.texts
    if criteria.in_progress:
        return list(recordings.live.values())
    if "recordingId" in texts and not faults.has("recordingid-ignored"):
        number = texts["recordingId"]
        one = recordings.by_id.get(int(number)) if _NUMBER.fullmatch(number) else None
        return [] if one is None else [one]
    for name in ("isrUcid", "ingressCallId"):
        if name in texts:
            return recordings.of_call(texts[name])
    exact = criteria.times.get("end")
    earliest, latest = criteria.times.get("earliestEnd", exact), criteria.times.get("latestEnd", exact)
    return recordings.finished(  # a second more, as bounds may count by the second
        None if earliest is None else earliest - 1,
        None if latest is None else latest + 1 + slack,
    )


def _is_found(recording: Recording, criteria: Criteria, now: float) -> bool:
    if recording.hidden:
        return False
    if criteria.in_progress:
        return recording.fate is Fate.LIVE and recording.visible_at <= now
    return recording.fate is Fate.FINISHED


def _texts_match(recording: Recording, texts: Mapping[str, str], faults: Switches) -> bool:
    return all(_text_matches(recording, name, value, faults) for name, value in texts.items())


def _text_matches(recording: Recording, name: str, value: str, faults: Switches) -> bool:
    """Compare one criterion, to the letter."""
    match name:
        case "isrUcid":
            return recording.isr_ucid == value
        case "ingressCallId" | "egressCallId":
            return recording.ingress_call_id == value
        case "ani" | "from":
            return recording.ani == value
        case "dnis" | "to":
            return recording.dnis == value
        case "filename":
            return any(segment.filename == value for segment in recording.segments)
        case "aor":
            return value in aors(recording)
        case "recordingId" | "tmpRecordingId":
            return faults.has("recordingid-ignored") or value == _id_as(name, recording, faults)
    return recording.custom.get(name) == value


def _id_as(name: str, recording: Recording, faults: Switches) -> str:
    """Return the id that a recording is found by as `name`: the temporary one only while it runs."""
    live = not recording.recording_id
    shown = live == (name == "tmpRecordingId") or (live and faults.has("live-match-id"))
    return str(recording.shown_id) if shown else ""


def aors(recording: Recording) -> tuple[str, str]:
    """Return the addresses of record of the caller and the called."""
    return f"sip:{recording.ani}@192.0.2.9:5060", f"sip:{recording.dnis}@192.0.2.9:5060"


def _times_match(start: float, end: float | None, times: Mapping[str, float], faults: Switches) -> bool:
    return all(_time_matches(start, end, name, bound, faults) for name, bound in times.items())


def _time_matches(start: float, end: float | None, name: str, bound: float, faults: Switches) -> bool:
    at = start if name.lower().endswith("start") else end
    if at is None:
        return False
    if faults.has("bounds-by-second"):
        at, bound = math.floor(at), math.floor(bound)
    if name.startswith("earliest"):
        return at >= bound
    return at <= bound if name.startswith("latest") else math.floor(at) == math.floor(bound)
