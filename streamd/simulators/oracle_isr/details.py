"""Say in the words of FACE what a recording is: short in a list, in full alone.

What is made here is a tree of dicts; `Items` in it are lists of things that are called alike, which JSON
wraps each into an object of its own. XML and JSON differ in some names and ids (vendors/oracle_isr.md section
7), so it is made for one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from random import Random
from typing import Any, NamedTuple

from msgspec import Struct

from streamd.simulators.oracle_isr.recordings import Fate, Recording, Segment
from streamd.simulators.oracle_isr.search import aors
from streamd.simulators.oracle_isr.times import spell, spell_second
from streamd.simulators.switches import Switches

Tree = dict[str, Any]

_SIPREC_LATE = 300 * 86_400.0  # seconds: the seed's SIPREC times are ten months from the recording's
_GONE = object()


class Items(NamedTuple):
    """A list of things called `name`."""

    name: str
    items: Sequence[Any]


class Manner(Struct, frozen=True):
    """How to tell it: for JSON or XML, in which zone, with which oddities."""

    json: bool
    zone: tzinfo
    account: str
    faults: Switches
    random: Random

    def parts(self, name: str, items: Sequence[Any]) -> Items:
        """Return a list within a recording, in its order unless that is drawn."""
        if self.faults.has("parts-shuffled"):
            items = self.random.sample(items, len(items))
        return Items(name, items)

    def absent(self, empty: Any) -> Any:
        """Return what stands for nothing, usually `empty`."""
        return self.random.choice(("", Items("", ()), _GONE)) if self.faults.has("empty-faces") else empty


def short_recording(recording: Recording, manner: Manner) -> Tree:
    """Return the match of a list."""
    faults = manner.faults
    tmp = not recording.recording_id and not faults.has("live-match-id")
    match: Tree = {"tmpRecordingId" if tmp else "recordingId": recording.shown_id}
    if recording.isr_ucid and not faults.has("match-without-ucid"):
        match["isrUcid"] = recording.isr_ucid
    if recording.ingress_call_id and not faults.has("match-without-ingress"):
        match["ingressCallId"] = recording.ingress_call_id
    if faults.has("match-filename"):
        match["filename"] = recording.segments[0].filename
    match |= {"from": recording.ani, "to": recording.dnis}
    return {**match, "start": spell_second(recording.start, manner.zone), **_extra(faults)}


def short_segment(recording: Recording, segment: Segment, manner: Manner) -> Tree:
    """Return the match of a list of segments: no call ids (seed)."""
    match = {**_segment_ids(recording, segment), "filename": segment.filename}
    match["start"] = spell_second(segment.start, manner.zone)
    if segment.end is not None:
        match["end"] = spell_second(segment.end, manner.zone)
    return {**match, "hasVideo": False, **_extra(manner.faults)}


def full_recording(recording: Recording, segments: Sequence[Segment], manner: Manner) -> Tree:
    """Return all there is to know, with those segments."""
    short = manner.faults.has("details-6-4")
    ids = {"recordingId" if recording.recording_id else "tmpRecordingId": recording.shown_id}
    found: Tree = {
        **ids,
        "ani": recording.ani,
        "dnis": recording.dnis,
        "account": manner.account,
        "duration": _duration(recording),
        "startTime": spell(recording.start, manner.zone),
        "rss": _GONE if short else 2,
        "route": 1,
        "agentId": _GONE if short else recording.agent_id or manner.absent(""),
        "sensitive": 0,
        "deleteFlag": recording.delete_flag,
        "isrUcid": _GONE if short or not recording.isr_ucid else recording.isr_ucid,
        "ingressCallId": recording.ingress_call_id or _GONE,
        "customDataSets": _custom(recording.custom, 7, manner),
        "segments": manner.parts("segment", [full_segment(recording, each, manner) for each in segments]),
        **_extra(manner.faults),
    }
    return _without_gone(found)


def full_segment(recording: Recording, segment: Segment, manner: Manner) -> Tree:
    """Return all there is to know about a segment."""
    spelt = "locationId" if manner.json or manner.faults.has("xml-location-id") else "location"
    directory = "" if manner.faults.has("details-6-4") else segment.directory
    live = segment.segment_id == 0
    found: Tree = {
        **_segment_ids(recording, segment),
        "sequence": segment.sequence,
        "filename": segment.filename,
        "directory": directory or _GONE,
        "fileStatus": 0,
        spelt: segment.location,
        "accountId": int(manner.account),
        "routeId": 1,
        "start": spell(segment.start, manner.zone),
        "end": _GONE if live or segment.end is None else spell(segment.end, manner.zone),
        "checksumMismatch": False,
        "pauseLength": 0 if live else segment.pause_ms,
        "pausedWithSilence": False,
        "securedMedia": 0,
        "hasVideo": False,
        "archived": int(segment.archived),
        "archivalRemarks": segment.remarks or _GONE,
        "archivalFailCount": 0,
        "archiverMode": "Primary",
        "archiverAction": 0,
        "conversionStatus": 0 if segment.archived else 1,
        "customDataSets": _custom(recording.custom, 9, manner),
        "dtmfDigits": manner.absent(Items("dtmfDigit", ())),
        "siprecDataSets": _siprec(recording, segment, manner),
        **_extra(manner.faults),
    }
    return _without_gone(found)


def _segment_ids(recording: Recording, segment: Segment) -> Tree:
    if segment.segment_id:
        return {"segmentId": segment.segment_id, "recordingId": recording.recording_id}
    return {"tmpSegmentId": segment.tmp_id, "recordingId": recording.tmp_id}


def _duration(recording: Recording) -> int:
    """Return milliseconds from the first start to the last end; 0 while it runs (section 3)."""
    if recording.fate is Fate.LIVE or recording.end is None:
        return 0
    return round((recording.end - recording.start) * 1000)


def _custom(custom: Mapping[str, str], xml_id: int, manner: Manner) -> Any:
    """Return custom data; ids are no use: those of XML and JSON differ, as in the seed."""
    if not custom:
        return manner.absent(Items("customData", ()))
    first = 3 if manner.json else xml_id
    return manner.parts(
        "customData",
        [
            {"customDataId": first + place, "name": name, "value": value}
            for place, (name, value) in enumerate(custom.items())
        ],
    )


def _siprec(recording: Recording, segment: Segment, manner: Manner) -> Any:
    if (
        manner.faults.has("no-siprec")
        and recording.number % max(1, int(manner.faults.number("no-siprec"))) == 0
    ):
        return manner.absent(Items("siprecData", ()))
    begun = spell(int(segment.start - _SIPREC_LATE), manner.zone)
    session = {
        "startTime": begun,
        "siprecCallId": recording.call_key,
        "siprecSessionId": f"sess{recording.number:06d}V4A==DH",
        "extensionDataSets": _extensions({"apkt:callerOrig": "true", "apkt:ucid": recording.isr_ucid}),
    }
    people = [_participant(recording, place, begun) for place in (0, 1)]
    streams = [_stream(recording, place, begun, manner) for place in (0, 1)]
    data = {
        "session": session,
        "participants": manner.parts("participant", people),
        "streams": manner.parts("stream", streams),
    }
    return Items("siprecData", [data])


def _participant(recording: Recording, place: int, begun: str) -> Tree:
    return {
        "siprecParticipantId": f"part{recording.number:06d}{place}Q==DH",
        "aor": aors(recording)[place],
        "name": (recording.ani, recording.dnis)[place],
        "startTime": begun,
        "extensionDataSets": _extensions({"apkt:callingParty": "false" if place else "true"}),
    }


def _stream(recording: Recording, place: int, begun: str, manner: Manner) -> Tree:
    found: Tree = {
        "mode": "",
        "participantId": str(13_139_573 + 4 * recording.number + 2 * place),
        "siprecStreamId": f"strm{recording.number:06d}{place}+g==DH",
        "startTime": begun,
        "label": str(65_537 - place),
        "extensionDataSets": manner.absent(Items("extensionData", ())),
    }
    return _without_gone(found)


def _extensions(found: Mapping[str, str]) -> Items:
    return Items(
        "extensionData",
        [{"name": name, "values": Items("value", [value])} for name, value in found.items() if value],
    )


def _extra(faults: Switches) -> Tree:
    return {"futureField": {"level": 1, "note": "simulated"}} if faults.has("extra-fields") else {}


def _without_gone(tree: Tree) -> Tree:
    return {name: value for name, value in tree.items() if value is not _GONE}
