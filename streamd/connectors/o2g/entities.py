"""Calls and who is in them, as O2G tells of them (vendors/o2g.md, section 2.2); pure data.

Names are O2G's in snake_case, values are as sent: a word that nobody knows yet stays that word. Absent and
null are the same: unknown, or unchanged since the last event; a false boolean is absent on the wire.
"""

from __future__ import annotations

from typing import Any, ClassVar

from streamd.lenient import Entity

Number = int | float

UNUSUAL = (
    "callUUID",
    "redirectToDVA",
    "consolidatedQueuesEWT",
    "currentPG",
    "nbOfACDCalls",
    "nbOfAgentsInACDCall",
    "nbOfAgentsInACDConv",
    "nbOfAgentsInACDRinging",
    "nbOfCallsInRemotePG",
    "nbOfInterceptedACDCalls",
    "nbOfOutgoingACDCalls",
    "nbOfRefusedACDCalls",
    "nbOfRingingACDCalls",
    "nbOfServedACDCalls",
    "nbOfTransferedACDCalls",
)
"""Names that are not plain camelCase, in O2G's spelling."""


class PartyId(Entity):
    """Who somebody is: one from outside has no login name."""

    login_name: str | None = None
    phone_number: str | None = None
    multi_line: bool | None = None


class PartyType(Entity):
    """USER, DEVICE, SERVICE, EXTERNAL or UNKNOWN, and what kind of that."""

    main: str | None = None
    sub_type: str | None = None


class PartyInfo(Entity):
    """Somebody; `display_name` only where first and last name are not known."""

    id: PartyId | None = None
    first_name: str | None = None
    last_name: str | None = None
    display_name: str | None = None
    type: PartyType | None = None


class MediaCapability(Entity):
    """A kind of media that a participant can have."""

    type: str | None = None


class Participant(Entity):
    """Somebody in a call beside the monitored user. `participant_id` is opaque; `state` only among three
    and more."""

    participant_id: str | None = None
    identity: PartyInfo | None = None
    anonymous: bool | None = None
    undroppable: bool | None = None
    state: str | None = None
    medias: list[Any] | None = None
    media_capabilities: list[MediaCapability] | None = None


class LegCapabilities(Entity):
    """What the user can do with a leg now."""

    answer: bool | None = None
    drop: bool | None = None
    hold: bool | None = None
    retrieve: bool | None = None
    reconnect: bool | None = None
    mute: bool | None = None
    un_mute: bool | None = None
    send_dtmf: bool | None = None
    switch_device: bool | None = None


class Leg(Entity):
    """The call on one of the user's devices."""

    device_id: str | None = None
    media: str | None = None
    state: str | None = None
    ringing_remote: bool | None = None
    capabilities: LegCapabilities | None = None


class DeviceCapabilities(Entity):
    """What the user can do with a device now."""

    device_id: str | None = None
    make_call: bool | None = None
    make_business_call: bool | None = None
    make_private_call: bool | None = None
    un_park_call: bool | None = None


class CallCapabilities(Entity):
    """What the user can do with the call now; `add_medias` alone is no boolean."""

    add_device: bool | None = None
    add_medias: list[Any] | None = None
    add_participant: bool | None = None
    intruded: bool | None = None
    intrusion: bool | None = None
    transfer: bool | None = None
    blind_transfer: bool | None = None
    merge: bool | None = None
    redirect: bool | None = None
    picked_up: bool | None = None
    redirect_to_voice_mail: bool | None = None
    redirect_to_dva: bool | None = None
    overflow_to_voice_mail: bool | None = None
    drop_me: bool | None = None
    terminate: bool | None = None
    reject: bool | None = None
    call_back: bool | None = None
    park: bool | None = None
    start_record: bool | None = None
    stop_record: bool | None = None
    pause_record: bool | None = None
    resume_record: bool | None = None
    drop_participant: bool | None = None
    mute_participant: bool | None = None
    hold_participant: bool | None = None


class Tag(Entity):
    """A name and a value that an application attached to the call."""

    name: str | None = None
    value: str | None = None
    visibilities: list[Any] | None = None


class TrunkIdentification(Entity):
    """The trunk on which the call came from outside."""

    network_timeslot: int | None = None
    trunk_neqt: list[int] | None = None


class AcdCallInfo(Entity):
    """How long an ACD call has waited (units not documented), and for which group."""

    queue_waiting_time: Number | None = None
    global_waiting_time: Number | None = None
    agent_group: str | int | None = None
    local: bool | None = None

    def __post_init__(self) -> None:
        # A number in one SDK, a string in another: it is a name, and stands as text.
        if isinstance(self.agent_group, int):
            self.agent_group = str(self.agent_group)


class AcdQueueData(Entity):
    """The queue of an ACD call."""

    waiting_time: Number | None = None
    saturated: bool | None = None


class PilotTransferInfo(Entity):
    """Whether an ACD call can be transferred to a pilot."""

    transfer_possible: bool | None = None
    pilot_status: str | None = None


class AcdCallData(Entity):
    """What the contact centre knows of a call."""

    call_info: AcdCallInfo | None = None
    queue_data: AcdQueueData | None = None
    pilot_number: str | None = None
    rsi_number: str | None = None
    supervised_transfer: bool | None = None
    pilot_transfer_info: PilotTransferInfo | None = None


class CallData(Entity):
    """The call itself; `state` is a MediaState of O2G."""

    initial_called: PartyInfo | None = None
    last_redirecting: PartyInfo | None = None
    device_call: bool | None = None
    anonymous: bool | None = None
    call_uuid: str | None = None
    state: str | None = None
    record_state: str | None = None
    tags: list[Tag] | None = None
    capabilities: CallCapabilities | None = None
    associated_data: str | None = None
    hexa_binary_associated_data: str | None = None
    account_info: str | None = None
    acd_call_data: AcdCallData | None = None
    trunk_identification: TrunkIdentification | None = None


class Call(Entity):
    """One call of a snapshot; `call_state` is the canonical state beside `call_data.state`."""

    own: ClassVar[frozenset[str]] = frozenset({"extra", "call_state"})

    call_ref: str | None = None
    call_state: str | None = None
    call_data: CallData | None = None
    legs: list[Leg] | None = None
    participants: list[Participant] | None = None


class DeviceState(Entity):
    """IN_SERVICE, OUT_OF_SERVICE or UNKNOWN."""

    device_id: str | None = None
    state: str | None = None


class TelephonicState(Entity):
    """All of a user's telephony at one moment. O2G's `deviceStates` is a list, or that list in an object."""

    calls: list[Call] | None = None
    device_capabilities: list[DeviceCapabilities] | None = None
    user_state: str | None = None
    device_states: list[DeviceState] | None = None
