"""Every event that O2G documents: its package, its type here and its shape (vendors/o2g.md, section 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, get_args

from streamd.connectors.o2g import administration, contact_center, telephony
from streamd.lenient import Entity, snake

Package = Literal[
    "telephony",
    "eventSummary",
    "unifiedComLog",
    "routingManagement",
    "user",
    "userManagement",
    "agent",
    "pilot",
    "rti",
    "acdstats",
    "rsi",
    "system",
    "pbxManagement",
]
PACKAGES: tuple[Package, ...] = get_args(Package)
OF_LOGINS = frozenset(("telephony", "eventSummary", "unifiedComLog", "routingManagement", "user", "agent"))
"""Packages whose ids are login names."""
OF_ALL = frozenset(("rti", "acdstats"))
"""Packages whose only id is `*`."""
WITH_STATE = ("telephony", "agent", "routingManagement")
"""Packages whose state can be asked for."""

CHANNEL_INFORMATION = "OnChannelInformation"
MESSAGE = "Message"
"""What an ancestor of O2G says before it closes a channel; no event."""
UNKNOWN = "streamd.o2g.unknown"


class Kind(NamedTuple):
    """What is to be known of one eventName."""

    package: Package
    event_type: str
    entity: type[Entity]


_NAMED: Mapping[str, str] = {
    "OnTelephonyState": "streamd.user.snapshot",
    "OnCallCreated": "streamd.call.created",
    "OnCallModified": "streamd.call.modified",
    "OnCallRemoved": "streamd.call.removed",
    "OnUserStateModified": "streamd.user.state_changed",
    "OnDeviceStateModified": "streamd.device.state_changed",
    "OnAgentStateChanged": "streamd.agent.state_changed",
    "OnAgentSkillChanged": "streamd.agent.skills_changed",
    "OnRoutingStateChanged": "streamd.routing.state_changed",
    # An old SDK's name of the same event.
    "OnDynamicStateModified": "streamd.o2g.dynamic_state_changed",
}

_EVENTS: Mapping[Package, Mapping[type[Entity], str]] = {
    "telephony": {
        telephony.UserSnapshot: "OnTelephonyState",
        telephony.CallCreated: "OnCallCreated",
        telephony.CallModified: "OnCallModified",
        telephony.CallRemoved: "OnCallRemoved",
        telephony.UserStateModified: "OnUserStateModified",
        telephony.DeviceStateModified: "OnDeviceStateModified",
        telephony.DynamicStateChanged: "OnDynamicStateChanged OnDynamicStateModified",
    },
    "eventSummary": {contact_center.EventSummaryUpdated: "OnEventSummaryUpdated"},
    "unifiedComLog": {
        contact_center.ComRecordChanged: "OnComRecordCreated OnComRecordModified",
        contact_center.ComRecordsMarked: "OnComRecordsAck OnComRecordsUnAck OnComRecordsDeleted",
    },
    "routingManagement": {contact_center.RoutingStateChanged: "OnRoutingStateChanged"},
    "user": {administration.UserChanged: "OnUserInfoChanged"},
    "userManagement": {administration.UserChanged: "OnUserCreated OnUserDeleted"},
    "agent": {
        contact_center.AgentStateChanged: "OnAgentStateChanged",
        contact_center.AgentSkillChanged: "OnAgentSkillChanged",
        contact_center.SupervisorHelp: "OnSupervisorHelpRequested OnSupervisorHelpCancelled",
    },
    "pilot": {contact_center.PilotCall: "OnPilotCallCreated OnPilotCallQueued OnPilotCallRemoved"},
    "rti": {
        administration.AgentRti: "OnAgentRtiChanged",
        administration.PilotRti: "OnPilotRtiChanged",
        administration.QueueRti: "OnQueueRtiChanged",
        administration.AgentGroupRti: "OnPGAgentRtiChanged",
        administration.OtherGroupRti: "OnPGOtherRtiChanged",
    },
    "acdstats": {administration.AcdStatsProgress: "OnAcdStatsProgress"},
    "rsi": {
        administration.RoutingService: "OnRouteRequest OnRouteEnd OnDigitCollected OnToneGeneratedStart "
        "OnToneGeneratedStop"
    },
    "system": {
        administration.Maintenance: "OnCtiLinkDown OnCtiLinkUp OnPbxLinkDown OnPbxLinkUp OnPbxLoaded "
        "OnRemoteServerLinkDown OnRemoteServerLinkUp OnLicenseExpiration OnServerStart"
    },
    "pbxManagement": {
        administration.PbxObjectInstance: "OnPbxObjectInstanceCreated OnPbxObjectInstanceModified "
        "OnPbxObjectInstanceDeleted"
    },
}


def _kinds() -> Iterator[tuple[str, Kind]]:
    for package, entities in _EVENTS.items():
        for entity, names in entities.items():
            for name in names.split():
                type_ = _NAMED.get(name) or f"streamd.o2g.{snake(name).removeprefix('on_')}"
                yield name, Kind(package, type_, entity)


KINDS: Mapping[str, Kind] = dict(_kinds())
"""eventName -> what is to be known of it."""
