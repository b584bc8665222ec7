"""Make the lines that no document announces (section 3, rows 1, 6, 7 and 18).

Each follows an event of somebody and goes to who was sent that. They are marked `odd`, and speak of logins
that begin with ``odd-`` or of nobody; the truth knows nothing of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamd.simulators.o2g.wire import CHANNEL_INFORMATION, KEEPALIVE, Line, encode
from streamd.simulators.switches import Switches

_HUGE = 1_200_000  # bytes
_REF = "0ddca11000000100"

Oddity = Callable[[Line], list[Line]]


def mixed_in(lines: Sequence[Line], faults: Switches, draw: random.Random) -> Sequence[Line]:
    """Return `lines` with the oddities that are on after some of them."""
    on = [(make, max(1, int(faults.number(name)))) for name, make in ODDITIES.items() if faults.has(name)]
    if not on:
        return lines
    found: list[Line] = []
    for each in lines:
        found.append(each)
        for make, period in on:
            if int(draw.random() * period) == 0:
                found += make(each)
    return found


def _raw(*payloads: bytes) -> Oddity:
    def make(after: Line) -> list[Line]:
        return [Line(each, after.package, after.subject, "", odd=True) for each in payloads]

    return make


def _event(**event: Any) -> Oddity:
    return _raw(encode(event))


_MODIFIED = {
    "eventName": "OnCallModified",
    "loginName": "odd-unknown-call",
    "callRef": _REF,
    "modifiedLegs": [{"deviceId": "0", "media": "AUDIO", "state": "ACTIVE", "capabilities": {}}],
    "addedLegs": [],
    "removedLegs": [],
    "modifiedParticipants": [],
    "addedParticipants": [],
    "removedParticipantIds": ["0"],
    "deviceCapabilities": [],
}
_REMOVED = {
    "eventName": "OnCallRemoved",
    "loginName": "odd-unknown-call",
    "callRef": _REF,
    "deviceCapabilities": [],
}
_NEW_ENUM = {
    "eventName": "OnCallCreated",
    "loginName": "odd-new-enum",
    "callRef": "0ddca11000000200",
    "cause": "TELEPORTED",
    "callData": {"state": "LEVITATING", "tags": [], "capabilities": {"levitate": True}},
    "legs": [{"deviceId": "0", "media": "HOLOGRAM", "state": "LEVITATING", "capabilities": {}}],
    "participants": [],
    "deviceCapabilities": [],
}

ODDITIES: Mapping[str, Oddity] = {
    "blank-lines": _raw(b""),
    "heartbeat-burst": _event(eventName=CHANNEL_INFORMATION, text=KEEPALIVE),
    "unknown-channel-text": _event(eventName=CHANNEL_INFORMATION, text="Chunk is feeling well"),
    "unknown-event": _event(eventName="OnMoonPhaseChanged", loginName="odd-unknown", phase="FULL"),
    "missing-event-name": _event(loginName="odd-nameless", callRef=_REF),
    "new-enum": _raw(
        encode({"eventName": "OnUserStateModified", "loginName": "odd-new-enum", "state": "DAYDREAMING"}),
        encode(_NEW_ENUM),
        encode(
            {
                "eventName": "OnCallRemoved",
                "loginName": "odd-new-enum",
                "callRef": "0ddca11000000200",
                "cause": "VANISHED",
            }
        ),
    ),
    "bad-json": _raw(b'{"eventName":"OnCallModified","loginName":"odd-bad",'),
    "invalid-utf8": _raw(b'{"eventName":"OnUserStateModified","loginName":"odd-\xff\xfe","state":"FREE"}'),
    "not-an-object": _raw(b'["OnUserStateModified","odd-array","FREE"]'),
    "two-on-a-line": _raw(
        b'{"eventName":"OnUserStateModified","loginName":"odd-two","state":"FREE"}'
        b'{"eventName":"OnUserStateModified","loginName":"odd-two","state":"BUSY"}'
    ),
    "huge-line": _event(eventName="OnMoonPhaseChanged", loginName="odd-huge", notes="n" * _HUGE),
    "unknown-call": _raw(encode(_MODIFIED), encode(_REMOVED)),
}
