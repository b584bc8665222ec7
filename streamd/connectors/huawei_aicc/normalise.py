"""Turn rows of an export into events; pure (INTERFACE.md, "Events"; vendors/huawei_aicc.md, 5 and 6)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from streamd.connectors.huawei_aicc.entities import CallEnded, CdrRecorded, RecordingAvailable
from streamd.connectors.huawei_aicc.rows import CALL_ID, CC_ID, CDR, RECORDING, Shape
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


def _times(shape: Shape) -> Sequence[tuple[int, str]]:
    return [(at, name) for at, name in enumerate(shape.columns) if name.endswith(("_begin", "_end"))]


_TIMES: Mapping[str, Sequence[tuple[int, str]]] = {each.name: _times(each) for each in (CDR, RECORDING)}
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
_ENDED = tuple(name for name in CallEnded.__struct_fields__ if name != "extra")


class Fact(Struct, gc=False):
    """A row, understood: what it is known by, and its data."""

    call: str
    """Cc id and call id, as the vendor wrote them."""
    key: bytes
    content: bytes
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
        call, epoch = f"{row[CC_ID]}|{row[CALL_ID]}", self._epoch
        begins = call != self._call
        if begins:
            self._call, self._epoch = call, epoch_of(row[CALL_ID])
            epoch = self._epoch
        if shape is CDR:
            key, content = _digest(_SEPARATOR.join(_identity(row))), _digest(_cdr_content(row))
        else:
            key, content = _digest(_recording_key(row)), _digest(_joined(row))
        if self._privacy.rules:
            row = self._discreet(shape, row)
        extra = _unknown(shape, row) if len(row) > len(shape.columns) else {}
        if len(row) < len(shape.columns):
            row = [*row, *_PADDING]
        read = self._reader.read
        times = {}
        for index, name in _TIMES[shape.name]:
            text = row[index]
            times[name] = at = read(text, epoch) if text else None
            if at is None and text:
                extra[name] = text
        data = _cdr(row, times, extra) if shape is CDR else _recording(row, times, extra)
        if data.developer == self._access_key:
            data.developer = ""
        begin = times["call_begin"] or times.get("wait_begin") if begins and epoch is not None else None
        return Fact(
            call,
            key[:KEY_BYTES],
            content[:CONTENT_BYTES],
            data,
            zone_error(begin - epoch) if begin is not None and epoch is not None else None,
        )

    def _discreet(self, shape: Shape, row: list[str]) -> list[str]:
        """Give a row as the privacy rules leave it; they name columns, unknown ones too."""
        names = [
            *shape.columns,
            *(f"column_{index}" for index in range(len(shape.columns) + 1, len(row) + 1)),
        ]
        kept = self._privacy.apply({name: cell for name, cell in zip(names, row, strict=False) if cell})
        return [kept.get(name) or "" for name in names[: len(row)]]


def events(fact: Fact, revision: int, received: datetime, phase: Phase) -> list[Event]:
    """Make the events of a row that is new or has changed."""
    data = fact.data
    data.revision = revision
    call_id, tenant = data.call_id, data.account_id
    key, name = f"{data.cc_id}|{call_id}", fact.key.hex()
    if isinstance(data, RecordingAvailable):
        time, id_ = data.call_end or data.call_begin, f"recording-{name}-{revision}"
        return [
            Event(RECORDINGS, key, RECORDING_AVAILABLE, data, received, call_id, time, phase, tenant, id_)
        ]
    time = data.call_end or data.call_begin or data.wait_end or data.wait_begin
    id_ = f"cdr-{name}-{revision}"
    found = [Event(CDRS, key, CDR_RECORDED, data, received, call_id, time, phase, tenant, id_)]
    if data.call_id_num == LAST_ROW:
        ended = CallEnded(**{name: getattr(data, name) for name in _ENDED})
        id_ = f"ended-{name}-{revision}"
        found.append(Event(CDRS, key, CALL_ENDED, ended, received, call_id, time, phase, tenant, id_))
    return found


def _cdr(row: list[str], times: dict[str, Any], extra: dict[str, str]) -> CdrRecorded:
    return CdrRecorded(
        revision=1,
        developer=row[0],
        account_id=row[1],
        cc_id=row[2],
        agent_id=row[3],
        call_id=row[4],
        caller_no=row[5],
        callee_no=row[6],
        **times,
        device_type=row[13],
        device_type_word=DEVICE_TYPES.get(row[13], ""),
        device_no=row[14],
        call_type=row[15],
        call_type_word=CALL_TYPES.get(row[15], ""),
        release_cause=row[16],
        call_id_num=row[17],
        vdn_id=row[18],
        pre_device_type=row[19],
        pre_device_type_word=DEVICE_TYPES.get(row[19], ""),
        pre_device_no=row[20],
        skill_id=row[21],
        current_skill_id=row[22],
        device_in=row[23],
        pre_device_in=row[24],
        service_no=row[25],
        leave_reason=row[26],
        leave_reason_word=LEAVE_REASONS.get(row[26], ""),
        media_type=row[27],
        media_type_word=MEDIA_TYPES.get(row[27], ""),
        sub_media_type=row[28],
        extra=extra or None,
    )


def _recording(row: list[str], times: dict[str, Any], extra: dict[str, str]) -> RecordingAvailable:
    return RecordingAvailable(
        revision=1,
        developer=row[0],
        account_id=row[1],
        cc_id=row[2],
        agent_id=row[3],
        call_id=row[4],
        caller_no=row[5],
        callee_no=row[6],
        **times,
        file_name=row[9],
        task_status=row[10],
        task_status_word=TASK_STATUSES.get(row[10], ""),
        task_result=row[11],
        original_file_name=row[12],
        vdn_id=row[13],
        call_type=row[14],
        call_type_word=RECORDING_CALL_TYPES.get(row[14], ""),
        media_type=row[15],
        media_type_word=MEDIA_TYPES.get(row[15], ""),
        user_wanted_skill_id=row[16],
        current_skill_id=row[17],
        extra=extra or None,
    )


def _unknown(shape: Shape, row: list[str]) -> dict[str, str]:
    """Give the cells behind the columns that are known, by their number from 1."""
    known = len(shape.columns)
    return {f"column_{index}": cell for index, cell in enumerate(row[known:], known + 1) if cell}


def _recording_key(row: Sequence[str]) -> str:
    # The kind stands in it: a recording and a leg of one call must not share a place in the seen set.
    file = row[_ORIGINAL] or row[_FILE]
    return _SEPARATOR.join(("record", row[_DEVELOPER], row[CC_ID], row[CALL_ID], file))


def _cdr_content(row: list[str]) -> str:
    return _joined([*row[:_SERVICE_NO], *row[_SERVICE_NO + 1 :]] if len(row) > _SERVICE_NO else row)


def _joined(row: list[str]) -> str:
    """Write cells as one text. Empty ones at the end count as none: a later release writes more of them."""
    return _SEPARATOR.join(row).rstrip(_SEPARATOR)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
