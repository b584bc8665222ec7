"""Turn one record of Omilia into its event; pure.

Source: vendors/omilia.md, section 5. The order matters: the id is made of the record as it came, then words
for "no value" become null, then personal data goes, and only then is it read into its Struct.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from streamd.connectors.omilia import sentinels
from streamd.connectors.omilia.config import AUDIT_TYPES, OmiliaConfig
from streamd.connectors.omilia.discretion import Discretion
from streamd.connectors.omilia.entities import (
    READER,
    Dialog,
    DialogEnded,
    DialogStarted,
    DialogStep,
    Other,
    Record,
    strict,
)
from streamd.connectors.omilia.identity import digest, number
from streamd.errors import BadRecord
from streamd.lenient import UNREADABLE
from streamd.model import Event, Phase, Stream

DIALOGS, AUDIT, RECORDS = (Stream("omilia", name) for name in ("dialogs", "audit", "records"))
STARTED, STEP, ENDED = "streamd.dialog.started", "streamd.dialog.step", "streamd.dialog.ended"
AUDITED, OTHER = "streamd.audit.recorded", "streamd.omilia.record"

SCHEMAS: Mapping[str, type] = {
    STARTED: DialogStarted,
    STEP: DialogStep,
    ENDED: DialogEnded,
    AUDITED: Other,
    OTHER: Other,
}
STREAM_OF = {STARTED: DIALOGS, STEP: DIALOGS, ENDED: DIALOGS, AUDITED: AUDIT, OTHER: RECORDS}

_DIALOGS: Mapping[str, tuple[str, type[Dialog]]] = {
    "dialog_start": (STARTED, DialogStarted),
    "dialog_step": (STEP, DialogStep),
    "dialog_end": (ENDED, DialogEnded),
}
_STRICT = {entity: strict(entity) for _, entity in _DIALOGS.values()}
_OWN = DialogEnded.own
# Milliseconds of the years 2001 to 2286: anything else under the name `time` is no such time.
_EARLIEST, _LATEST = 10**12, 10**13
_decode = msgspec.json.Decoder(float_hook=number).decode
_convert = msgspec.convert

Normal = tuple[int, Event]
"""What identifies the record among those that were accepted, and its event."""


class Normaliser:
    """The way of one connector's records."""

    def __init__(self, config: OmiliaConfig) -> None:
        self._tenant = config.group
        self._discretion = Discretion(config.privacy)

    def normalise(
        self, raw: bytes, *, origin: str, received: datetime, phase: Phase, unnamed: str | None = None
    ) -> Normal:
        """Give the event of one record's JSON; one that names no type is `unnamed`. Raises BadRecord."""
        try:
            return self._event(raw, received, phase, unnamed)
        except UNREADABLE as error:
            raise BadRecord(f"not JSON: {type(error).__name__}", raw, origin) from error
        except _NoRecord as error:
            raise BadRecord(str(error), raw, origin) from error
        except UnicodeEncodeError as error:
            raise BadRecord("not JSON: a lone surrogate", raw, origin) from error

    def _event(self, raw: bytes, received: datetime, phase: Phase, unnamed: str | None) -> Normal:
        record = _decode(raw)
        if type(record) is not dict:
            raise _NoRecord("not an object")
        if record and unnamed is not None:
            record.setdefault("message_type", unnamed)
        kind = record.get("message_type")
        if type(kind) is not str or not kind:
            raise _NoRecord("without a message_type")
        hash_, basis = digest(self._tenant, kind, record)
        if kind in _DIALOGS:
            type_, entity = _DIALOGS[kind]
            data: Record = self._dialog(record, entity)
        else:
            type_ = AUDITED if kind in AUDIT_TYPES else OTHER
            data = self._other(record)
        data.dedup_basis = basis
        dialog = getattr(data, "dialog_id", None)
        event = Event(
            STREAM_OF[type_],
            data.conversation_id or data.id or "",
            type_,
            data,
            received,
            subject=dialog or data.id,
            time=getattr(data, "ended_at", None) or data.time,
            phase=phase,
            tenant=self._tenant,
            id=hash_.hex(),
        )
        return int.from_bytes(hash_[:8], "little"), event

    def _dialog(self, record: dict[str, Any], entity: type[Dialog]) -> Dialog:
        began = record.get("time")
        words = sentinels.clear(record)
        record = self._discretion.apply(record)
        at = instant(began) if record.get("time") is began else None
        if at is not None:
            record["time"] = at
        data = _read(record, entity)
        data.sentinels = words
        data.conversation_id, data.dialog_id = data.group, data.id
        data.is_root = _is_root(data)
        if isinstance(data, DialogEnded) and at is not None and data.duration is not None:
            data.ended_at = _later(at, data.duration)
        return data

    def _other(self, record: dict[str, Any]) -> Other:
        """Pass a record through: what all have is read, the rest stands as it came."""
        record = self._discretion.apply(record)
        at = instant(record.get("time"))
        if at is not None:
            record["time"] = at
        data = READER.read(Other, record)
        data.conversation_id = data.group
        return data


class _NoRecord(Exception):
    """It is JSON, but no record; never leaves this module."""


def instant(value: Any) -> datetime | None:
    """Read Omilia's time, milliseconds since 1970, UTC; None when it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 13:
        value = int(value)
    if type(value) is not int or not _EARLIEST <= value < _LATEST:
        return None
    return datetime.fromtimestamp(value / 1000, UTC)


def _read(record: dict[str, Any], entity: type[Dialog]) -> Dialog:
    if _OWN.isdisjoint(record):
        try:
            return _convert(record, _STRICT[entity])
        except msgspec.ValidationError:
            pass
    return READER.read(entity, record)


def _is_root(data: Dialog) -> bool | None:
    """Tell the call itself from its parts, as P-HOOK does; where there is no flow, by the ids."""
    flow = data.flow
    if flow is not None and flow.parent_step is not None and flow.type is not None:
        return flow.parent_step == 0 and flow.type == "Flow"
    return data.id == data.group if data.id and data.group else None


def _later(at: datetime, milliseconds: int | float) -> datetime | None:
    """Give the end of what began at `at`: Omilia's `time` of an end is that of the start."""
    try:
        return at + timedelta(milliseconds=milliseconds)
    except (OverflowError, ValueError):
        return None
