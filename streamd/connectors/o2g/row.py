"""What is known of one call: what its events add up to.

Its parts are kept as the JSON that is published, where their types say entities: it is written once for the
event and each state, it is not read again, and objects take several times the room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TypeVar

from msgspec import Raw, Struct, field
from msgspec.json import Encoder

from streamd.connectors.o2g.entities import Call, CallData, Leg, Participant
from streamd.connectors.o2g.telephony import CallCreated, CallModified, CallState, CallStateData, call_state

T = TypeVar("T")
P = TypeVar("P", Leg, Participant)
Parts = dict[str | int | None, P]
"""Legs or participants by their names; of several of one name all but the first by their places."""

_device: Callable[[Leg], str | None] = attrgetter("device_id")
_participant: Callable[[Participant], str | None] = attrgetter("participant_id")
_encode = Encoder().encode


class Row(Struct):
    """One call of one user. Nothing is known of it after a restart, until something is heard of it.

    `stale`: known before the channel was opened, and not heard of since. `whole`: what is known stands on a
    snapshot of this session, or on the call's beginning. `since`: while it does not, the changes that came
    since the channel was opened.
    """

    call_state: CallState = "unknown"
    call_data: CallData | None = None
    legs: Parts[Leg] | None = None
    participants: Parts[Participant] | None = None
    stale: bool = False
    whole: bool = False
    since: list[CallModified] = field(default_factory=list)

    def begin(self) -> None:
        """Wait for a snapshot."""
        self.stale, self.whole, self.since = True, False, []

    def tell(self, call: CallCreated | Call) -> None:
        """Take the call as it is told whole, and tell it its canonical state."""
        self.call_state = call.call_state = call_state(call.call_data)
        self.call_data = call.call_data = as_json(call.call_data)
        self.legs = _named(call.legs, _device)
        self.participants = _named(call.participants, _participant)
        self.whole, self.since = True, []

    def change(self, change: CallModified) -> None:
        """Take what has changed; of `call_data` its JSON and canonical state."""
        if change.call_data is not None:
            self.call_state, self.call_data = change.call_state, change.call_data
        if change.modified_legs or change.added_legs or change.removed_legs:
            gone = map(_device, change.removed_legs or ())
            self.legs = _changed(self.legs, change.modified_legs, change.added_legs, gone, _device)
        left = change.removed_participant_ids or ()
        if change.modified_participants or change.added_participants or left:
            self.participants = _changed(
                self.participants, change.modified_participants, change.added_participants, left, _participant
            )

    def state(self, login: str, ref: str) -> CallStateData:
        """Give what is published of it."""
        return CallStateData(
            login_name=login,
            call_ref=ref,
            call_state=self.call_state,
            call_data=self.call_data,
            legs=list(self.legs.values()) if self.legs is not None else None,
            participants=list(self.participants.values()) if self.participants is not None else None,
        )


def as_json(value: T) -> T:
    """Give the JSON of a value, to stand where the value stood; None stays."""
    return value if value is None else Raw(_encode(value))  # type: ignore[return-value]


def _named(parts: list[P] | None, name: Callable[[P], str | None]) -> Parts[P] | None:
    if parts is None:
        return None
    named: Parts[P] = {}
    for place, each in enumerate(parts):
        key = name(each)
        named[place if key in named else key] = as_json(each)
    return named


def _changed(
    parts: Parts[P] | None,
    modified: list[P] | None,
    added: list[P] | None,
    gone: Iterable[str | None],
    name: Callable[[P], str | None],
) -> Parts[P]:
    """Put the changed ones in their old places and the new ones behind, and leave the gone out."""
    if parts is None:
        parts = {}
    for changed in (modified, added):
        for each in changed or ():
            parts[name(each)] = as_json(each)
    for key in gone:
        parts.pop(key, None)
    return parts
