"""Look recordings and segments up: no match, one in full, or a list (vendors/oracle_isr.md section 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from streamd.simulators.oracle_isr import codes
from streamd.simulators.oracle_isr.details import (
    Items,
    Manner,
    Tree,
    full_recording,
    full_segment,
    short_recording,
    short_segment,
)
from streamd.simulators.oracle_isr.recordings import Recording, Segment
from streamd.simulators.oracle_isr.replies import Reply, acknowledged, error
from streamd.simulators.oracle_isr.search import (
    Criteria,
    Unsearchable,
    find_recordings,
    find_segments,
    read_criteria,
    renamed,
)
from streamd.simulators.oracle_isr.service import Service

T = TypeVar("T")
_File = tuple[Recording, Segment]


def look_up(service: Service, operation: str, query: Mapping[str, str], *, json: bool) -> Reply:
    """Answer `details` or `segments`."""
    faults = service.faults
    manner = Manner(json, service.zone, service.options.account, faults, service.random)
    try:
        criteria = read_criteria(query, service.zone, service.recordings.custom_names, faults)
    except Unsearchable as problem:
        return error(codes.NACK, problem.message)
    if operation == "segments":
        return _segments(service, criteria, manner)
    return _recordings(service, criteria, manner, template=query.get("format") == "template")


def _recordings(service: Service, criteria: Criteria, manner: Manner, *, template: bool) -> Reply:
    found = find_recordings(service.recordings, criteria, service.clock.now(), service.faults)
    if not found:
        return _nothing(service, criteria)
    if len(found) == 1:
        [only] = found
        _count_full(only)
        if template:
            return Reply(None, "", _call(only), "one", [only.shown_id], 1, root="Call", always_xml=True)
        tree = {"recording": full_recording(only, only.segments, manner)}
        return acknowledged(tree, shape="one", ids=[only.shown_id], matches=1)
    listed = _listed(service, found, criteria.most, lambda each: each.shown_id)
    for each in listed:
        each.listed += not criteria.in_progress
        each.listed_live += criteria.in_progress
    trees = [short_recording(each, manner) for each in listed]
    return _list(service, trees, [each.shown_id for each in listed], len(found))


def _count_full(recording: Recording) -> None:
    """Note that one was shown in full; of a live one that is no more than its place in a list would be."""
    if recording.recording_id:
        recording.detailed += 1
        recording.revisions_given.append(recording.revision)
    else:
        recording.listed_live += 1


def _segments(service: Service, criteria: Criteria, manner: Manner) -> Reply:
    found = find_segments(service.recordings, criteria, service.clock.now(), service.faults)
    if not found:
        return _nothing(service, criteria)
    if len(found) == 1:
        [(recording, segment)] = found
        if service.faults.has("segment-in-recording"):
            tree: Tree = {"recording": full_recording(recording, [segment], manner)}
        else:
            tree = {"segment": full_segment(recording, segment, manner)}
        return acknowledged(tree, shape="one", ids=[_file_id((recording, segment))], matches=1)
    listed = _listed(service, found, criteria.most, _file_id)
    trees = [short_segment(*each, manner) for each in listed]
    return _list(service, trees, [_file_id(each) for each in listed], len(found))


def _file_id(file: _File) -> int:
    return file[1].segment_id or file[1].tmp_id


def _nothing(service: Service, criteria: Criteria) -> Reply:
    faults = service.faults
    new_name = renamed(service.recordings, criteria)
    if new_name:
        return acknowledged({}, shape="none", message=codes.RENAMED.format(new_name))
    if faults.has("none-ack"):
        return acknowledged({}, shape="none")
    if faults.has("none-empty-list"):
        return Reply(codes.NACK, codes.ALL_MATCHES, {"matches": Items("match", ())}, "none")
    code = codes.NOTHING_BY_UCID if faults.has("none-26") else codes.NOT_FOUND
    return Reply(code, codes.MESSAGES[code], shape="none")


def _listed(service: Service, found: Sequence[T], most: int, id_of: Callable[[T], int]) -> list[T]:
    """Return what a list shows of it, in the order that holds."""
    faults = service.faults
    if faults.has("order-random"):
        return service.random.sample(found, min(most, len(found)))
    return sorted(found, key=id_of, reverse=faults.has("order-newest"))[:most]


def _list(service: Service, trees: Sequence[Any], ids: Sequence[int], matches: int) -> Reply:
    cut = matches > len(trees)
    said = cut and not service.faults.has("cut-unsaid")
    return Reply(
        codes.NACK,
        codes.CUT_MATCHES if said else codes.ALL_MATCHES,
        {"matches": Items("match", trees)},
        "cut" if cut else "all",
        ids,
        matches,
    )


def _call(recording: Recording) -> Tree:
    """Return what the default template makes of a recording (P12)."""
    return {
        "Data": {
            "ani": recording.ani,
            "dnis": recording.dnis,
            "unique_identifier": recording.shown_id,
            "time_offset": 0,
            "direction": 0,
        }
    }
