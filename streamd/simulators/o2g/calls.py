"""Keep a call as one user sees it, and make the events that tell him of each change.

The view and its events are made in one step, so that the sum of the events is the view. Field order is that
of the vendor's screenshots (vendors/o2g.md section 2.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamd.simulators.o2g.people import Party, User

# MediaState -> capabilities of the call and of its leg, as the screenshots show them or as they make sense.
_CALL_CAPABILITIES: Mapping[str, Mapping[str, Any]] = {
    "DIALING": {"addMedias": [], "terminate": True},
    "RINGING_OUTGOING": {"addMedias": [], "terminate": True, "callBack": True},
    "RINGING_INCOMING": {"addMedias": [], "redirect": True, "pickedUp": True, "terminate": True},
    "ACTIVE": {"addMedias": [], "terminate": True, "transfer": True, "blindTransfer": True},
    "HELD": {"addMedias": [], "terminate": True, "merge": True},
    "RELEASING": {"addMedias": []},
}
_LEG_CAPABILITIES: Mapping[str, Mapping[str, Any]] = {
    "DIALING": {"drop": True},
    "RINGING_OUTGOING": {"drop": True},
    "RINGING_INCOMING": {"answer": True},
    "ACTIVE": {"drop": True, "hold": True, "sendDtmf": True},
    "HELD": {"drop": True, "retrieve": True},
    "RELEASING": {},
}


class Style:
    """How events are written: what the switches of row 7 ask for."""

    def __init__(self, *, opaque: bool = False, data_kept: bool = False) -> None:
        self.opaque = opaque
        self.data_kept = data_kept

    def participant_id(self, party: Party) -> str:
        return f"p{int(party.number.lstrip('+')) * 7919 % 0xFFFFFF:06x}" if self.opaque else party.number

    def participant(self, party: Party, state: str = "") -> dict[str, Any]:
        """Return Participant; it has a `state` only among three or more."""
        found = {
            "participantId": self.participant_id(party),
            "identity": party.party(),
            "medias": [],
            "mediaCapabilities": [{"type": "AUDIO"}],
        }
        return {**found, "state": state} if state else found


class CallView:
    """One call as `user` sees it; `data`, `legs` and `participants` are what all events so far add up to."""

    __slots__ = ("_base", "alerting", "data", "legs", "participants", "ref", "state", "user")

    def __init__(
        self, user: User, ref: str, state: str, participants: Sequence[dict[str, Any]], base: dict[str, Any]
    ) -> None:
        """Take part in call `ref`; `base` is what of callData does not change with the state."""
        self.user, self.ref = user, ref
        self.alerting = False
        self._base = base
        self.participants = {each["participantId"]: each for each in participants}
        self._enter(state)
        user.calls[ref] = self

    def created(self, cause: str = "") -> dict[str, Any]:
        """Return the OnCallCreated that tells of this view as it is now."""
        return {
            "eventName": "OnCallCreated",
            "loginName": self.user.login,
            "callRef": self.ref,
            **({"cause": cause} if cause else {}),
            "callData": self.data,
            "legs": list(self.legs.values()),
            "participants": list(self.participants.values()),
            "deviceCapabilities": self.device_capabilities(),
        }

    def modify(
        self,
        style: Style,
        state: str,
        *,
        add: Sequence[dict[str, Any]] = (),
        change: Sequence[dict[str, Any]] = (),
        remove: Sequence[str] = (),
        cause: str = "",
        new_ref: str = "",
        replaced_by: str = "",
    ) -> dict[str, Any]:
        """Bring the view to `state` and return the OnCallModified that tells of it.

        With `new_ref` the call goes on under that reference; no OnCallRemoved ever comes for the old one.
        """
        event: dict[str, Any] = {"eventName": "OnCallModified", "loginName": self.user.login}
        event["callRef"] = new_ref or self.ref
        if cause:
            event["cause"] = cause
        if new_ref:
            event["previousCallRef"] = self._move(new_ref)
        if replaced_by:
            event["replacedByCallRef"] = replaced_by
        changed_legs, told = state != self.state, self.data
        self._enter(state)
        for each in (*add, *change):
            self.participants[each["participantId"]] = each
        for each_id in remove:
            self.participants.pop(each_id, None)
        if self.data != told or not style.data_kept:
            event["callData"] = self.data
        return event | {
            "modifiedLegs": list(self.legs.values()) if changed_legs else [],
            "addedLegs": [],
            "removedLegs": [],
            "modifiedParticipants": list(change),
            "addedParticipants": list(add),
            "removedParticipantIds": list(remove),
            "deviceCapabilities": [],
        }

    def removed(self, cause: str = "", new_destination: Party | None = None) -> dict[str, Any]:
        """End the view and return the OnCallRemoved that tells of it."""
        self.user.calls.pop(self.ref, None)
        return {
            "eventName": "OnCallRemoved",
            "loginName": self.user.login,
            "callRef": self.ref,
            **({"cause": cause} if cause else {}),
            **({"newDestination": new_destination.party()} if new_destination is not None else {}),
            "deviceCapabilities": self.device_capabilities(),
        }

    def to_wire(self) -> dict[str, Any]:
        """Return the call as TelephonicState and `GET calls` show it."""
        return {
            "callRef": self.ref,
            "callData": self.data,
            "legs": list(self.legs.values()),
            "participants": list(self.participants.values()),
        }

    def device_capabilities(self) -> list[dict[str, Any]]:
        return [
            {"deviceId": self.user.number, "makeCall": True, "makeBusinessCall": True, "unParkCall": True}
        ]

    def _enter(self, state: str) -> None:
        self.state = state
        # who is called turns BUSY when he answers, not while it rings nor when it stops ringing
        self.alerting = state == "RINGING_INCOMING" or (self.alerting and state == "RELEASING")
        capabilities = _CALL_CAPABILITIES[state]
        self.data = {**self._base, "state": state, "tags": [], "capabilities": capabilities}
        leg = {"deviceId": self.user.number, "media": "AUDIO", "state": state}
        self.legs = {self.user.number: {**leg, "capabilities": _LEG_CAPABILITIES[state]}}

    def _move(self, new_ref: str) -> str:
        old = self.ref
        del self.user.calls[old]
        self.ref = new_ref
        self.user.calls[new_ref] = self
        return old


def telephonic_state(user: User, *, nested: bool) -> dict[str, Any]:
    """Return TelephonicState of `user`; `nested`: deviceStates as Node reads them."""
    states = [{"deviceId": user.number, "state": user.device_state}]
    return {
        "calls": [view.to_wire() for view in user.calls.values()],
        "deviceCapabilities": [
            {"deviceId": user.number, "makeCall": True, "makeBusinessCall": True, "unParkCall": True}
        ],
        "userState": user.state,
        "deviceStates": {"deviceStates": states} if nested else states,
    }
