"""Turn what FACE says into events; pure. Names, keys and ids follow INTERFACE.md and section 8."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from streamd.connectors.oracle_isr.entities import LostRecording, Recording
from streamd.connectors.oracle_isr.order import put_in_order
from streamd.connectors.oracle_isr.reading import read
from streamd.connectors.oracle_isr.wire import Tree, call_ids, live_id, recording_id, start_second
from streamd.connectors.oracle_isr.zone import Zone
from streamd.model import Event, Phase, Stream

RECORDINGS = Stream("oracle_isr", "recordings")
STARTED, ENDED = "streamd.recording.started", "streamd.recording.ended"
UPDATED, LOST = "streamd.recording.updated", "streamd.recording.lost"
SCHEMAS: Mapping[str, type] = {STARTED: Recording, ENDED: Recording, UPDATED: Recording, LOST: LostRecording}
STREAM_OF: Mapping[str, Stream] = dict.fromkeys(SCHEMAS, RECORDINGS)

DIGEST_BYTES = 16
# What changes without the recording changing, and the ids that differ between replies (section 7, 8).
_VOLATILE = frozenset({"archivalRemarks", "customDataId"})


class LinkName(Struct, frozen=True, order=True):
    """What links start and end of a recording: the call's id and the start as the vendor writes it, to the
    second (section 3). Without a call id it is `rec:` and the recording's own id."""

    call_id: str
    second: str

    def __str__(self) -> str:
        return f"{self.call_id}|{self.second}"


def link_name(tree: Tree) -> LinkName:
    """Give the link of a recording, whichever of the two call ids a reply carries."""
    found = call_ids(tree)
    return LinkName(found[0] if found else f"rec:{live_id(tree)}", start_second(tree))


def digest(tree: Tree) -> bytes:
    """Give what is the same as long as the content is, whichever format it came in."""
    content = msgspec.json.encode(_leaves(tree), order="sorted")
    return hashlib.sha256(content).digest()[:DIGEST_BYTES]


class Normaliser:
    """Makes the events of one connector, whose name is in their ids."""

    def __init__(self, connector: str, zone: Zone) -> None:
        self._connector = connector
        self._zone = zone

    def recording(self, tree: Tree, link: LinkName, latest: datetime) -> Recording:
        """Read a recording or a match; `latest` as in `reading.read`."""
        found = read(Recording, tree, self._zone, latest)
        found.call_id = link.call_id
        put_in_order(found, self._zone)
        if found.end_time is None:
            ends = [each.end for each in found.segments or () if each.end is not None]
            found.end_time = max(ends, default=None)
        return found

    def started(self, data: Recording, link: LinkName, received: datetime, phase: Phase) -> Event:
        """Make the beginning: the same by id from a running recording and from a finished one."""
        subject = data.tmp_recording_id or data.recording_id
        return self._event(STARTED, link, (str(link),), data, received, phase, subject, data.start_time)

    def ended(self, tree: Tree, data: Recording, link: LinkName, received: datetime, phase: Phase) -> Event:
        """Make the end of a finished recording."""
        of = recording_id(tree) or str(link)
        return self._event(ENDED, link, (of,), data, received, phase, data.recording_id, data.end_time)

    def updated(
        self, data: Recording, content: bytes, link: LinkName, received: datetime, phase: Phase
    ) -> Event:
        """Make the change of a recording that has ended; `content` is its digest."""
        parts = (data.recording_id or str(link), content.hex())
        return self._event(UPDATED, link, parts, data, received, phase, data.recording_id, None)

    def lost(self, tree: Tree, link: LinkName, missed_since: datetime, received: datetime) -> Event:
        """Make the loss of a recording that was seen running."""
        data = read(LostRecording, tree, self._zone, missed_since)
        data.call_id = link.call_id
        data.missed_since = missed_since
        of = live_id(tree) or ""
        return self._event(LOST, link, (str(link), of), data, received, "live", of or None, None)

    def _event(
        self,
        kind: str,
        link: LinkName,
        parts: Sequence[str],
        data: Recording,
        received: datetime,
        phase: Phase,
        subject: str | None,
        time: datetime | None,
    ) -> Event:
        whole = "\n".join((self._connector, *parts, kind))
        return Event(
            RECORDINGS,
            link.call_id,
            kind,
            data,
            received,
            subject,
            time,
            phase,
            tenant=data.account,
            id=hashlib.sha256(whole.encode()).hexdigest()[:32],
        )


def _sorted_json(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _leaves(value: Any) -> Any:
    """Give a tree with every leaf as XML would write it, and tables in lists in any order as in one: FACE
    promises none."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {name: _leaves(each) for name, each in value.items() if name not in _VOLATILE}
    if isinstance(value, list):
        leaves = [_leaves(each) for each in value]
        has_order = len(leaves) < 2 or not any(isinstance(each, dict) for each in leaves)
        return leaves if has_order else sorted(leaves, key=_sorted_json)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
