"""Turn rows of an export into events; pure (INTERFACE.md, "Events"; vendors/huawei_aicc.md, 5 and 6)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter, itemgetter
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from streamd.connectors.huawei_aicc.entities import CallEnded, CdrRecorded, RecordingAvailable
from streamd.connectors.huawei_aicc.rows import CALL_ID, CC_ID, CDR, CDR_COLUMNS, RECORDING, Shape
from streamd.connectors.huawei_aicc.vocabulary import (
    CALL_TYPES,
    DEVICE_TYPES,
    LEAVE_REASONS,
    MEDIA_TYPES,
    RECORDING_CALL_TYPES,
    TASK_STATUSES,
)
from streamd.connectors.huawei_aicc.zones import Reader, epoch_of, zone_error
from streamd.model import Event, Phase, Stream
from streamd.privacy import Privacy

CDRS, RECORDINGS = Stream("huawei_aicc", "cdrs"), Stream("huawei_aicc", "recordings")
CDR_RECORDED: Final = "streamd.cdr.recorded"
CALL_ENDED: Final = "streamd.call.ended"
RECORDING_AVAILABLE: Final = "streamd.recording.available"

LAST_ROW: Final = "-1"
"""`call_id_num` of the row that ends its call."""
_SEPARATOR = "\x1f"
KEY_BYTES: Final = 12
CONTENT_BYTES: Final = 8

SCHEMAS: Mapping[str, type] = {
    CDR_RECORDED: CdrRecorded,
    CALL_ENDED: CallEnded,
    RECORDING_AVAILABLE: RecordingAvailable,
}
STREAM_OF: Mapping[str, Stream] = {
    CDR_RECORDED: CDRS,
    CALL_ENDED: CDRS,
    RECORDING_AVAILABLE: RECORDINGS,
}
STREAMS_OF_DATA: Mapping[str, Sequence[Stream]] = {
    "call": (CDRS,),
    "record": (RECORDINGS,),
    "call_record": (CDRS, RECORDINGS),
}

_PADDING = ("",) * max(CDR.widths[-1], RECORDING.widths[-1])


# Section 6: what makes a row the same row, and what its content is not (service_no: the vendor says that it
# means nothing).
_identity = itemgetter(
    *(
        CDR.columns.index(name)
        for name in (
            *("developer", "cc_id", "call_id", "call_id_num", "device_type", "device_no"),
            *("wait_begin", "ack_begin", "call_begin"),
        )
    )
)
_SERVICE_NO = CDR.columns.index("service_no")
_DEVELOPER = CDR.columns.index("developer")
_ORIGINAL, _FILE = RECORDING.columns.index("original_file_name"), RECORDING.columns.index("file_name")
_ended = attrgetter(*CallEnded.__struct_fields__)


class Fact(Struct, gc=False):
    """A row, understood: what it is known by, and its data."""

    call: str
    """Cc id and call id, as the vendor wrote them."""
    key: bytes
    content: bytes
    told: bytes
    """The hash of the content that privacy rules leave: it is published, and nobody shall guess the rest."""
    data: CdrRecorded | RecordingAvailable
    zone_error: timedelta | None
    """By how much the zones of its begin and of the epoch in its call id seem to differ; zero: they agree.
    None where that cannot be told, and for all rows of a call but the one that comes first."""


class Normaliser:
    """Understands the rows of one connector; keeps nothing of them but how their times were read."""

    def __init__(self, row_zone: ZoneInfo, privacy: Privacy, access_key: str) -> None:
        """`access_key`: the developer whose rows these are. Nobody needs to be told, and it is half a key."""
        self._access_key = access_key
        self._call = ""  # rows of one call come together
        self._epoch: datetime | None = None
        self._reader = Reader(row_zone)
        self._privacy = privacy

    def fact(self, shape: Shape, row: list[str]) -> Fact:
        """Understand one row of at least the columns of `shape`'s oldest release."""
        call = f"{row[CC_ID]}|{row[CALL_ID]}"
        begins = call != self._call
        if begins:
            self._call, self._epoch = call, epoch_of(row[CALL_ID])
        epoch = self._epoch
        key = _digest(_SEPARATOR.join(_identity(row)) if shape is CDR else _recording_key(row))
        known = len(row) if len(row) in shape.widths else _known(shape, len(row))
        told = content = _content(shape, row)
        if self._privacy.rules:
            row = self._discreet(shape.columns[:known], row)
            told = _content(shape, row)
        extra: dict[str, str] = {}
        if known < len(row):
            extra = {_column(at): cell for at, cell in enumerate(row[known:], known) if cell}
            row = row[:known]
        if known < len(shape.columns):
            row = [*row, *_PADDING]
        times = [self._reader.read(text, epoch) if text else None for text in row[shape.times]]
        if None in times:
            extra |= _unread(shape, row, times)
        data = _cdr(row, times, extra) if shape is CDR else _recording(row, times, extra)
        if data.developer == self._access_key:
            data.developer = ""
        apart = _zone_error(data, epoch) if begins and epoch is not None else None
        return Fact(call, key[:KEY_BYTES], content, told, data, apart)

    def _discreet(self, known: Sequence[str], row: list[str]) -> list[str]:
        """Give a row as the privacy rules leave it; they name columns, unknown ones too."""
        names = [*known, *map(_column, range(len(known), len(row)))]
        kept = self._privacy.apply({name: cell for name, cell in zip(names, row, strict=True) if cell})
        return [kept.get(name) or "" for name in names]


def events(fact: Fact, revision: int, received: datetime, phase: Phase) -> list[Event]:
    """Make the events of a row that is new or has changed."""
    data = fact.data
    data.revision = revision
    call_id, tenant = data.call_id, data.account_id
    key, name = f"{data.cc_id}|{call_id}", f"{fact.key.hex()}-{revision}-{fact.told.hex()}"
    if isinstance(data, RecordingAvailable):
        time, id_ = data.call_end or data.call_begin, f"recording-{name}"
        return [
            Event(RECORDINGS, key, RECORDING_AVAILABLE, data, received, call_id, time, phase, tenant, id_)
        ]
    time = data.call_end or data.call_begin or data.wait_end or data.wait_begin
    id_ = f"cdr-{name}"
    found = [Event(CDRS, key, CDR_RECORDED, data, received, call_id, time, phase, tenant, id_)]
    if data.call_id_num == LAST_ROW:
        ended = CallEnded(*_ended(data))
        ended.extra = None
        id_ = f"ended-{name}"
        found.append(Event(CDRS, key, CALL_ENDED, ended, received, call_id, time, phase, tenant, id_))
    return found


def _cdr(row: list[str], times: Sequence[datetime | None], extra: dict[str, str]) -> CdrRecorded:
    # By position, for names cost eight times as much: a row has 36 fields.
    values: list[Any] = [
        1,
        *row[:7],
        extra or None,
        *times,
        row[13],
        DEVICE_TYPES.get(row[13], ""),
        row[14],
        row[15],
        CALL_TYPES.get(row[15], ""),
        *row[16:20],
        DEVICE_TYPES.get(row[19], ""),
        *row[20:27],
        LEAVE_REASONS.get(row[26], ""),
        row[27],
        MEDIA_TYPES.get(row[27], ""),
        row[28],
    ]
    return CdrRecorded(*values)


def _recording(row: list[str], times: Sequence[datetime | None], extra: dict[str, str]) -> RecordingAvailable:
    values: list[Any] = [
        1,
        *row[:7],
        extra or None,
        *times,
        *row[9:11],
        TASK_STATUSES.get(row[10], ""),
        *row[11:15],
        RECORDING_CALL_TYPES.get(row[14], ""),
        row[15],
        MEDIA_TYPES.get(row[15], ""),
        *row[16:18],
    ]
    return RecordingAvailable(*values)


def _unread(shape: Shape, row: list[str], times: Sequence[datetime | None]) -> dict[str, str]:
    """Give what stands where times should, and is none."""
    told = zip(shape.columns[shape.times], row[shape.times], times, strict=True)
    return {name: text for name, text, at in told if text and at is None}


def _zone_error(data: CdrRecorded | RecordingAvailable, epoch: datetime) -> timedelta | None:
    begin = data.call_begin or (data.wait_begin if isinstance(data, CdrRecorded) else None)
    return None if begin is None else zone_error(begin - epoch)


def _known(shape: Shape, width: int) -> int:
    """Give how many columns of a row mean what documents say: those of the widest release that it can hold.

    Between two widths stands a release that nobody documented: its columns may be any.
    """
    return max(known for known in shape.widths if known <= width)


def _column(at: int) -> str:
    """Name a column that no document knows by its number from 1."""
    return f"column_{at + 1}"


def _recording_key(row: Sequence[str]) -> str:
    # The kind stands in it: a recording and a leg of one call must not share a place in the seen set.
    file = row[_ORIGINAL] or row[_FILE]
    return _SEPARATOR.join(("record", row[_DEVELOPER], row[CC_ID], row[CALL_ID], file))


def _content(shape: Shape, row: list[str]) -> bytes:
    """Hash the cells but for the service number, and for empty ones at the end: later releases write more."""
    if shape is CDR and len(row) >= len(CDR_COLUMNS):
        row = [*row[:_SERVICE_NO], *row[_SERVICE_NO + 1 :]]
    return _digest(_SEPARATOR.join(row).rstrip(_SEPARATOR))[:CONTENT_BYTES]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
