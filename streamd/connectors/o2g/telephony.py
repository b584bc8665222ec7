"""The events of package `telephony` (vendors/o2g.md, section 2.2), and the state of a call; pure data."""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import field

from streamd.connectors.o2g.entities import (
    Call,
    CallData,
    DeviceCapabilities,
    DeviceState,
    Leg,
    Participant,
    PartyInfo,
    TelephonicState,
)
from streamd.lenient import Entity

CallState = Literal[
    "dialing", "ringing_out", "ringing", "active", "held", "releasing", "idle", "removed", "unknown"
]
Reason = Literal["absent_from_snapshot", "replaced", "user_gone"]
CALL = frozenset({"login_name", "call_ref"})
"""Whose call it is, and which: no other field can say."""

_CALL_STATES: dict[str | None, CallState] = {
    "OFF_HOOK": "dialing",
    "DIALING": "dialing",
    "RINGING_OUTGOING": "ringing_out",
    "RINGING_INCOMING": "ringing",
    "ACTIVE": "active",
    "HELD": "held",
    "RELEASING": "releasing",
    "IDLE": "idle",
}


def call_state(data: CallData | None) -> CallState:
    """Give the canonical state of a call."""
    return _CALL_STATES.get(data.state, "unknown") if data is not None else "unknown"


def _unknown() -> CallState:
    return "unknown"  # from a factory, for it is published like any other


class UserSnapshot(Entity):
    """OnTelephonyState: all of a user's telephony, asked for or sent by itself."""

    event_name: str | None = None
    login_name: str | None = None
    state: TelephonicState | None = None

    @property
    def calls(self) -> list[Call] | None:
        """Give the user's calls; None: nothing is said about them."""
        return self.state.calls if self.state is not None else None


class CallCreated(Entity):
    """OnCallCreated: a call as the user `login_name` sees it. `initiator` is a participant_id."""

    own: ClassVar[frozenset[str]] = frozenset({"extra", "call_state"})
    required: ClassVar[frozenset[str]] = CALL

    event_name: str | None = None
    login_name: str | None = None
    call_ref: str | None = None
    call_state: CallState = field(default_factory=_unknown)
    cause: str | None = None
    call_data: CallData | None = None
    initiator: str | None = None
    legs: list[Leg] | None = None
    participants: list[Participant] | None = None
    device_capabilities: list[DeviceCapabilities] | None = None


class CallModified(Entity):
    """OnCallModified: what has changed. With `previous_call_ref` the call goes on under `call_ref`.

    Without `call_data` that is unchanged; `call_state` then says what is known from before.
    """

    own: ClassVar[frozenset[str]] = frozenset({"extra", "call_state"})
    required: ClassVar[frozenset[str]] = CALL

    event_name: str | None = None
    login_name: str | None = None
    call_ref: str | None = None
    call_state: CallState = field(default_factory=_unknown)
    cause: str | None = None
    previous_call_ref: str | None = None
    replaced_by_call_ref: str | None = None
    call_data: CallData | None = None
    modified_legs: list[Leg] | None = None
    added_legs: list[Leg] | None = None
    removed_legs: list[Leg] | None = None
    modified_participants: list[Participant] | None = None
    added_participants: list[Participant] | None = None
    removed_participant_ids: list[str] | None = None
    device_capabilities: list[DeviceCapabilities] | None = None


class CallRemoved(Entity):
    """OnCallRemoved. `synthetic`: O2G sent no such event, and `reason` says why streamd made it; then
    `event_name` is null. `new_destination`: where the call went, if it was forwarded or redirected."""

    own: ClassVar[frozenset[str]] = frozenset({"extra", "call_state", "synthetic", "reason"})
    required: ClassVar[frozenset[str]] = CALL

    event_name: str | None = None
    login_name: str | None = None
    call_ref: str | None = None
    call_state: CallState = field(default_factory=_unknown)
    cause: str | None = None
    new_destination: PartyInfo | str | None = None
    replaced_by_call_ref: str | None = None
    synthetic: bool = False
    reason: Reason | None = None
    device_capabilities: list[DeviceCapabilities] | None = None


class UserStateModified(Entity):
    """OnUserStateModified: FREE, BUSY or UNKNOWN."""

    event_name: str | None = None
    login_name: str | None = None
    state: str | None = None


class DeviceStateModified(Entity):
    """OnDeviceStateModified."""

    event_name: str | None = None
    login_name: str | None = None
    device_states: list[DeviceState] | None = None


class HuntingGroupState(Entity):
    """Whether the user is in his hunting group."""

    logon: bool | None = None


class DynamicStateChanged(Entity):
    """OnDynamicStateChanged; an old SDK calls it OnDynamicStateModified."""

    event_name: str | None = None
    login_name: str | None = None
    hunting_group_state: HuntingGroupState | None = None


class CallStateData(Entity):
    """A call as the user `login_name` sees it now: what all events so far add up to."""

    login_name: str | None = None
    call_ref: str | None = None
    call_state: CallState = field(default_factory=_unknown)
    call_data: CallData | None = None
    legs: list[Leg] | None = None
    participants: list[Participant] | None = None
