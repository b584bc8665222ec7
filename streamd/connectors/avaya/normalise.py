"""Turn Avaya's messages into events; pure. The names follow INTERFACE.md, "Events" and "Topics"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from msgspec import Struct

from streamd.connectors.avaya.measure_types import Typed, Typing
from streamd.connectors.avaya.wire import EventAction, MeasureMessage, PayloadType
from streamd.model import Event, Phase, State, Stream

MEASURES = Stream("avaya", "measures")
MEASURES_STATE = Stream("avaya", "measures.state", "compact")
UPSERTED = "streamd.measure.upserted"
DELETED = "streamd.measure.deleted"
STATE = "streamd.measure.state"
ABSENT_FROM_SNAPSHOT = "absent_from_snapshot"
PRODUCER_REMOVED = "producer_removed"

_STATEFUL = frozenset(("itd", "adm"))
_MAX_KINDS = 1000
_is_plain = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch  # what RFC 3986, 2.3 leaves as it is
_PHASES: Mapping[str, Phase] = {"INITIALIZING": "snapshot", "LIVE": "live"}
_TYPES: Mapping[str, str] = {"UPSERT": UPSERTED, "DELETE": DELETED}


class MeasureData(Struct, omit_defaults=True, gc=False):
    """A measure message as it came. `measures` has the raw strings, `measures_typed` what the catalogue
    types: numbers, and the beginning of a state as RFC 3339 (null: not in that state). `payload_type` is
    null where Avaya sent no message: then `reason` says why streamd made the event."""

    account_id: str | None
    event_source_id: str | None
    measure_producer_id: str | None
    payload_type: PayloadType | None
    event_action: EventAction
    keys: dict[str, str]
    measures: dict[str, str]
    measures_typed: dict[str, Typed]
    reason: str | None = None
    extra: dict[str, Any] | None = None


class MeasureStateData(Struct, gc=False):
    """The merged measures of one key-set, all that are known of it."""

    account_id: str | None
    event_source_id: str | None
    measure_producer_id: str | None
    keys: dict[str, str]
    measures: dict[str, str]
    measures_typed: dict[str, Typed]


class Identity(Struct, frozen=True):
    """Whose measures these are: what a tombstone has to know when nothing else is known any more."""

    account_id: str | None
    event_source_id: str | None
    measure_producer_id: str | None
    keys: dict[str, str]


def is_stateful(producer: str) -> bool:
    """Say whether a producer's rows may be compacted, by the processor in `<Name>_<processor>_<semver>`.

    ITD (interval to date) and ADM rows are the latest values of an entity; compaction would lose the
    contacts of CDR and JRNL rows.
    """
    parts = producer.rsplit("_", 2)
    return len(parts) == 3 and parts[1].lower() in _STATEFUL


def identity_of(text: str) -> Identity:
    """Read a canonical text back; a part that is empty comes back as one that is missing."""
    account, source, producer, pairs = text.split("|")
    named = (pair.partition("=") for pair in pairs.split("&"))
    keys = {unquote(name): unquote(value) for name, _, value in named}
    return Identity(unquote(account) or None, unquote(source) or None, unquote(producer) or None, keys)


def _encoded(text: str | None) -> str:
    if not text:
        return ""
    return text if _is_plain(text) else quote(text, safe="")


class _Kind(Struct):
    """What the texts of key-sets with the same ids and names share: the beginning, and each name as it is and
    as it stands there."""

    beginning: str
    names: list[tuple[str, str]]


class KeyTexts:
    """Writes canonical texts of key-sets: `ABCDEF|IXCC_1.0.0|Queue_itd_1.0.0|channelId=VOICE&queueId=q-17`.

    Names sorted, percent-encoded UTF-8, a missing part empty, so that no two key-sets share a text. What the
    texts of one kind share is remembered, for at most `limit` kinds.
    """

    def __init__(self, limit: int = _MAX_KINDS) -> None:
        self._limit = limit
        self._kinds: dict[tuple[str | None, ...], _Kind] = {}

    def of(self, message: MeasureMessage) -> str:
        """Give the canonical text of the message's key-set."""
        keys = message.keys
        ids = (message.account_id, message.event_source_id, message.measure_producer_id)
        kind = self._kinds.get((*ids, *keys))
        if kind is None:
            if len(self._kinds) >= self._limit:
                self._kinds.clear()
            names = [(name, f"{_encoded(name)}=") for name in sorted(keys)]
            kind = self._kinds[*ids, *keys] = _Kind(f"{'|'.join(map(_encoded, ids))}|", names)
        return kind.beginning + "&".join([encoded + _encoded(keys[name]) for name, encoded in kind.names])


def normalise(message: MeasureMessage, key: str, received: datetime, typing: Typing) -> Event:
    """Make the event of a message whose canonical key text is `key`."""
    data = MeasureData(
        message.account_id,
        message.event_source_id,
        message.measure_producer_id,
        message.payload_type,
        message.event_action,
        message.keys,
        message.measures,
        typing.typed(message.measures),
        None,
        message.extra,
    )
    return Event(
        MEASURES,
        key,
        _TYPES[message.event_action],
        data,
        received,
        key,
        None,
        _PHASES[message.payload_type],
        message.account_id,
    )


def absent(identity: Identity, key: str, received: datetime) -> Event:
    """Make the deletion of a key that a proven snapshot did not show."""
    return _deleted(identity, key, received, ABSENT_FROM_SNAPSHOT, "snapshot")


def removed(identity: Identity, key: str, received: datetime) -> Event:
    """Make the deletion of a key whose producer is no longer configured."""
    return _deleted(identity, key, received, PRODUCER_REMOVED, None)


def _deleted(identity: Identity, key: str, received: datetime, reason: str, phase: Phase | None) -> Event:
    data = MeasureData(
        identity.account_id,
        identity.event_source_id,
        identity.measure_producer_id,
        None,
        "DELETE",
        identity.keys,
        {},
        {},
        reason=reason,
    )
    return Event(MEASURES, key, DELETED, data, received, key, phase=phase, tenant=identity.account_id)


def merged_state(
    identity: Identity | MeasureData,
    measures: dict[str, str],
    typed: dict[str, Typed],
    key: str,
    received: datetime,
) -> State:
    """Make the state of a key from its merged measures and their typed copy."""
    data = MeasureStateData(
        identity.account_id,
        identity.event_source_id,
        identity.measure_producer_id,
        identity.keys,
        measures,
        typed,
    )
    return State(MEASURES_STATE, MEASURES, key, STATE, data, received, key, identity.account_id)


def tombstone(key: str, received: datetime, tenant: str | None) -> State:
    """Make the null that ends a key in the compacted topic."""
    return State(MEASURES_STATE, MEASURES, key, STATE, None, received, key, tenant)
