"""The merged measures of one producer: what its state topic should show, and which keys a snapshot lacks.

INITIALIZING replaces, LIVE merges, DELETE removes (contract, section 4): right whether LIVE is partial or
full. Of a row's measures only the values are kept, encoded, for the rows of a producer share their names:
50,000 rows of 14 measures are 7 MiB so, 19 with the names and 72 as dicts.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from datetime import datetime

import msgspec
from msgspec import Struct

from streamd.connectors.avaya.measure_types import Typed, Typing
from streamd.connectors.avaya.normalise import (
    Identity,
    MeasureData,
    absent,
    identity_of,
    merged_state,
    tombstone,
)
from streamd.keyed_set import KeyedSet
from streamd.model import Event, State

KEYS = "key/"
"""The beginning of all names in the keyed state that hold key sets."""

Items = list[Event | State]
Names = tuple[str, ...]
Changes = MutableMapping[str, bytes | None]

# A night shift is a tenth of the day's agents; a snapshot that lacks more than that is doubted once.
MOST_VANISHING = 0.9
FEW_VANISHING = 20

_MOST_SHARED = 256

_encode = msgspec.json.encode
_decode_measures = msgspec.json.Decoder(dict[str, str]).decode
_encode_values = msgspec.msgpack.Encoder().encode
_decode_values = msgspec.msgpack.Decoder(list[str]).decode


class Row(Struct, gc=False):
    """What is known of one key; whose it is, the key's text says.

    `merged`: the values of what was published last; None: that is not known, as after a restart, until the
    key's snapshot value comes. `names`: their names, as they stand, shared by the rows that have the same.
    `settled`: `merged` stands on this session's snapshot, or on nothing that came before the session.
    `overlay`: while it does not, what LIVE said of the key since the session began.
    `kept`: the keyed state has the key for certain.
    """

    merged: bytes | None = None
    names: Names = ()
    overlay: bytes | None = None
    settled: bool = False
    kept: bool = True

    def measures(self) -> dict[str, str]:
        """Give the merged measures; none where they are not known."""
        return {} if self.merged is None else dict(zip(self.names, _decode_values(self.merged), strict=True))


class Retirement(Struct, frozen=True):
    """What became of the keys that a proven snapshot lacks."""

    retired: int
    doubted: int


class MergedMeasures:
    """All rows of one producer over the life of its session; the keyed state has one name for each."""

    def __init__(self, producer: str, known: Mapping[str, bytes]) -> None:
        """Take over the rows `known` before a restart, as `states(prefix(producer))` gives them."""
        self._prefix = prefix(producer)
        self._rows = {name.removeprefix(self._prefix): Row() for name in known}
        self._keys = KeyedSet(self._rows)
        self._doubted: frozenset[str] = frozenset()
        self._known_before = len(self._rows)
        self._filling = True
        self._names: dict[Names, Names] = {}

    def begin(self) -> None:
        """Start a session: every row waits for its snapshot value."""
        self._keys.begin()
        self._known_before = len(self._keys)
        self._filling = True
        for row in self._rows.values():
            row.settled = False
            row.overlay = None

    def apply(self, event: Event, typing: Typing, items: Items, changes: Changes) -> None:
        """Merge one event; append the state to publish, if any, and the change of the key set, if any."""
        data: MeasureData = event.data
        key = event.key
        if data.event_action == "DELETE":
            self._delete(key, event.received, event.tenant, items, changes)
            return
        if self._keys.seen(key):
            self._add(data, key, changes)
        row = self._rows[key]
        if not row.kept:
            self._keep(data, key, changes)
            row.kept = True
        measures = data.measures
        typed: dict[str, Typed] | None = data.measures_typed
        if data.payload_type == "INITIALIZING":
            row.settled, row.overlay = True, None
            changed = self._replace(row, measures)
        else:
            if not row.settled:
                before = {} if row.overlay is None else _decode_measures(row.overlay)
                row.overlay = _encode(before | measures)
                # A partial LIVE on top of a row from before the gap would be a state that never was, and
                # without that row it would erase the measures that it does not name.
                if self._filling or row.merged is None:
                    return
            if tuple(measures) != row.names:  # else nothing of the row would stay
                whole = row.measures() | measures
                if len(whole) != len(measures):
                    measures, typed = whole, None
            changed = self._replace(row, measures)
        if changed:
            typed = typing.typed(measures) if typed is None else typed
            items.append(merged_state(data, measures, typed, key, event.received))

    def doubt(self, stored: Mapping[str, bytes]) -> None:
        """Take every key for known that the keyed state has (`stored`) or may get yet, and nothing for
        published: for when the outcome of the last append is unknown, between two sessions."""
        keys = self._rows.keys() | {name.removeprefix(self._prefix) for name in stored}
        self._rows = {key: Row(kept=False) for key in keys}
        self._keys = KeyedSet(self._rows)

    def end_filling(self, proven: bool, received: datetime, typing: Typing, items: Items) -> None:
        """End the waiting for snapshot values, once the snapshot is over and again once it is proven.

        A row that LIVE spoke of and the snapshot did not is published: what it was, with LIVE merged into
        it; where that is not known, the topic keeps what it has. If the snapshot is proven, the row was gone
        before and began anew: then LIVE said all of it.
        """
        self._filling = False
        for key, row in self._rows.items():
            if row.settled or row.overlay is None:
                continue
            measures = _decode_measures(row.overlay)
            if proven:
                row.settled, row.overlay = True, None
            elif row.merged is None:
                continue
            else:
                measures = row.measures() | measures
            if self._replace(row, measures):
                identity = identity_of(key)
                items.append(merged_state(identity, measures, typing.typed(measures), key, received))

    def retire(self, received: datetime, items: Items, changes: Changes) -> Retirement:
        """Declare gone what the proven snapshot lacks, unless that is too much to be believed at once.

        When more than nine tenths of the rows would go (and more than 20), those wait for the next proven
        snapshot to lack them too.
        """
        stale = self._keys.end()
        fresh = stale - self._doubted
        too_many = len(fresh) > max(FEW_VANISHING, MOST_VANISHING * self._known_before)
        self._doubted = fresh if too_many else frozenset()
        going = stale - self._doubted
        for key in sorted(going):
            identity = identity_of(key)
            items.append(absent(identity, key, received))
            self._delete(key, received, identity.account_id, items, changes)
        return Retirement(retired=len(going), doubted=len(self._doubted))

    def _replace(self, row: Row, measures: dict[str, str]) -> bool:
        """Set the row's merged measures; return whether that changed them, their order aside."""
        names, values = tuple(measures), _encode_values(list(measures.values()))
        if names == row.names:
            changed = row.merged != values
        else:
            changed = row.merged is None or row.measures() != measures
            row.names = self._shared(names)
        row.merged = values
        return changed

    def _shared(self, names: Names) -> Names:
        """Give the one tuple for all rows: one for each row would be 8 MiB for 50,000 of them."""
        if len(self._names) >= _MOST_SHARED:
            self._names.clear()
        return self._names.setdefault(names, names)

    def _add(self, data: MeasureData, key: str, changes: Changes) -> None:
        self._rows[key] = Row(settled=True)
        self._keep(data, key, changes)

    def _keep(self, data: MeasureData, key: str, changes: Changes) -> None:
        """Put the key into the keyed state, with what a tombstone needs should its producer be removed."""
        identity = Identity(data.account_id, data.event_source_id, data.measure_producer_id, data.keys)
        changes[self._prefix + key] = _encode(identity)

    def _delete(
        self, key: str, received: datetime, account: str | None, items: Items, changes: Changes
    ) -> None:
        if self._keys.gone(key):
            del self._rows[key]
            changes[self._prefix + key] = None
        # An unknown key gets its null too: a spool that was lost knew it, perhaps.
        items.append(tombstone(key, received, account))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows


def prefix(producer: str) -> str:
    """Give the beginning of the names in the keyed state that hold a producer's key set."""
    return f"{KEYS}{producer}/"
