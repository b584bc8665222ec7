"""The events of realtime indicators, users, maintenance, management, statistics and routing services.

Source: vendors/o2g.md, section 2.3; pure data.
"""

from __future__ import annotations

from streamd.connectors.o2g.contact_center import Told
from streamd.connectors.o2g.entities import Number
from streamd.lenient import Entity


class AgentRti(Entity):
    """OnAgentRtiChanged."""

    event_name: str | None = None
    name: str | None = None
    first_name: str | None = None
    number: str | None = None
    type: str | None = None
    logon_date: Told | None = None
    service_state: str | None = None
    service_state_date: Told | None = None
    phone_state: str | None = None
    phone_state_date: Told | None = None
    pilot_name: str | None = None
    queue_name: str | None = None
    nb_of_withdrawals: Number | None = None
    withdrawals_total_duration: Number | None = None
    nb_of_private_calls: Number | None = None
    private_calls_total_duration: Number | None = None
    nb_of_served_acd_calls: Number | None = None
    nb_of_outgoing_acd_calls: Number | None = None
    nb_of_refused_acd_calls: Number | None = None
    nb_of_intercepted_acd_calls: Number | None = None
    nb_of_transfered_acd_calls: Number | None = None
    current_pg: str | Number | None = None
    associated_set: str | None = None
    withdraw_reason: str | Number | None = None
    afe_key: str | Number | None = None


class PilotRti(Entity):
    """OnPilotRtiChanged."""

    event_name: str | None = None
    name: str | None = None
    number: str | None = None
    state: str | None = None
    nb_of_running_calls: Number | None = None
    service_level: Number | None = None
    efficiency: Number | None = None
    nb_of_waiting_calls: Number | None = None
    nb_of_ringing_acd_calls: Number | None = None
    nb_of_mutual_aid_calls: Number | None = None
    nb_of_dissuaded_calls: Number | None = None
    nb_of_calls_in_conversation: Number | None = None
    nb_of_calls_in_general_forwarding: Number | None = None
    nb_of_calls_in_remote_pg: Number | None = None
    incoming_traffic: Number | None = None
    average_waiting_time: Number | None = None
    worst_service_level_in_list: Number | None = None
    best_service_level_in_list: Number | None = None
    worst_efficiency_in_list: Number | None = None
    best_efficiency_in_list: Number | None = None
    afe_key: str | Number | None = None


class QueueRti(Entity):
    """OnQueueRtiChanged."""

    event_name: str | None = None
    name: str | None = None
    number: str | None = None
    type: str | None = None
    state: str | None = None
    nb_of_agents_in_distribution: Number | None = None
    incoming_traffic: Number | None = None
    outgoing_traffic: Number | None = None
    nb_of_waiting_calls: Number | None = None
    current_waiting_time: Number | None = None
    filling_rate: Number | None = None
    expected_waiting_time: Number | None = None
    longest_waiting_time_in_list: Number | None = None
    afe_key: str | Number | None = None


class AgentGroupRti(Entity):
    """OnPGAgentRtiChanged: a processing group of agents."""

    event_name: str | None = None
    name: str | None = None
    number: str | None = None
    type: str | None = None
    state: str | None = None
    nb_of_withdrawn_agents: Number | None = None
    nb_of_agents_in_private_call: Number | None = None
    nb_of_agents_in_acd_call: Number | None = None
    nb_of_agents_in_acd_ringing: Number | None = None
    nb_of_agents_in_acd_conv: Number | None = None
    nb_of_agents_in_wrapup_and_transaction: Number | None = None
    nb_of_agents_in_pause: Number | None = None
    nb_of_busy_agents: Number | None = None
    nb_of_logged_on_agents: Number | None = None
    nb_of_free_agents: Number | None = None
    nb_of_idle_agents: Number | None = None
    nb_of_logged_on_and_not_withdrawn_agents: Number | None = None
    incoming_traffic: Number | None = None
    consolidated_pilots_service_level: Number | None = None
    consolidated_pilots_efficiency: Number | None = None
    consolidated_queues_waiting_time: Number | None = None
    consolidated_queues_nb_of_waiting_calls: Number | None = None
    consolidated_queues_ewt: Number | None = None
    pilots_worst_service_level: Number | None = None
    pilots_best_service_level: Number | None = None
    pilots_worst_efficiency: Number | None = None
    pilots_best_efficiency: Number | None = None
    queues_longest_waiting_time: Number | None = None
    afe_key: str | Number | None = None


class OtherGroupRti(Entity):
    """OnPGOtherRtiChanged: any other processing group."""

    event_name: str | None = None
    name: str | None = None
    number: str | None = None
    type: str | None = None
    state: str | None = None
    nb_of_acd_calls: Number | None = None
    incoming_traffic: Number | None = None
    afe_key: str | Number | None = None


class Device(Entity):
    """A device of a user: DECT, DESKPHONE, MOBILE or SOFTPHONE."""

    type: str | None = None
    id: str | None = None
    sub_type: str | None = None


class Voicemail(Entity):
    """A user's mailbox."""

    number: str | None = None
    type: str | None = None


class User(Entity):
    """A user of the OXE."""

    company_phone: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    login_name: str | None = None
    voicemail: Voicemail | None = None
    devices: list[Device] | None = None
    node_id: str | None = None
    external_login: str | None = None
    e_mail_address: str | None = None


class UserChanged(Entity):
    """OnUserInfoChanged, OnUserCreated (without `login_name`: it is the user's), OnUserDeleted."""

    event_name: str | None = None
    login_name: str | None = None
    user: User | None = None


class Maintenance(Entity):
    """The events of package `system`: links to OXE nodes and to other servers, licences, a start."""

    event_name: str | None = None
    node_id: str | None = None
    host: str | None = None
    message: str | None = None
    nb_days: int | None = None
    server_id: str | None = None


class Father(Entity):
    """The object above a managed one."""

    object_name: str | None = None
    object_id: str | None = None


class PbxObjectInstance(Entity):
    """OnPbxObjectInstanceCreated, …Modified, …Deleted."""

    event_name: str | None = None
    object_name: str | None = None
    object_id: str | None = None
    node_id: str | None = None
    father: Father | None = None


class AcdStatsProgress(Entity):
    """OnAcdStatsProgress; SDKs differ in the words of `step`."""

    event_name: str | None = None
    supervisor: str | None = None
    step: str | None = None
    nb_tot_objects: int | None = None
    nb_processed_objects: int | None = None
    res_path: str | None = None
    full_res_path: str | None = None
    xlsfull_res_path: str | None = None


class RouteRequest(Entity):
    """What a routing service point is asked."""

    route_crid: str | int | None = None
    caller: str | None = None
    calling_name: str | None = None
    caller_type: str | None = None
    called: str | None = None
    routed_call_ref: str | None = None
    nb_overflows: int | None = None
    reason: str | None = None


class DataCollected(Entity):
    """Digits that a caller dialled: sensitive, see `privacy`."""

    coll_crid: str | int | None = None
    digits: str | None = None
    cause: str | None = None


class RoutingService(Entity):
    """The events of package `rsi`."""

    event_name: str | None = None
    rsi_point: str | None = None
    request: RouteRequest | None = None
    route_crid: str | int | None = None
    routed_call_ref: str | None = None
    reason: str | None = None
    call_ref: str | None = None
    data_collected: DataCollected | None = None
    tones_types: list[str] | str | None = None


class ChannelInformation(Entity):
    """OnChannelInformation: "Chunk started" opens each channel, "keepalive" is its heartbeat."""

    event_name: str | None = None
    text: str | None = None


class Unknown(Entity):
    """An event that no document names, or one without a name: whose it is, as every other event tells it.

    All else is in `extra`, as sent.
    """

    event_name: str | None = None
    login_name: str | None = None
    pilot: str | None = None
    number: str | None = None
