"""A recording as it is published: FACE's names in snake_case, typed (sections 2 and 7).

Ids stay text, whatever a reply's format makes of them. Times are UTC, read in the server's zone.
"""

from __future__ import annotations

from typing import Any, ClassVar

from streamd.lenient import Entity
from streamd.model import Time


class CustomData(Entity):
    """One field of custom data; its id differs between replies about one recording (section 7, 8)."""

    custom_data_id: str | None = None
    name: str | None = None
    value: str | None = None


class ExtensionData(Entity):
    """One field of SIPREC extension data."""

    name: str | None = None
    values: list[str] | None = None


class SiprecSession(Entity):
    """The SIPREC session. Its times may be months off: no time of an event (section 7, 9)."""

    start_time: Time | None = None
    siprec_call_id: str | None = None
    siprec_session_id: str | None = None
    extension_data_sets: list[ExtensionData] | None = None


class SiprecParticipant(Entity):
    """Who took part."""

    siprec_participant_id: str | None = None
    aor: str | None = None
    name: str | None = None
    start_time: Time | None = None
    extension_data_sets: list[ExtensionData] | None = None


class SiprecStream(Entity):
    """One media stream of a participant."""

    mode: str | None = None
    participant_id: str | None = None
    siprec_stream_id: str | None = None
    start_time: Time | None = None
    label: str | None = None
    extension_data_sets: list[ExtensionData] | None = None


class SiprecData(Entity):
    """What SIPREC told of a segment."""

    session: SiprecSession | None = None
    participants: list[SiprecParticipant] | None = None
    streams: list[SiprecStream] | None = None


class Segment(Entity):
    """A piece of a recording; a split adds one. `pause_length` as FACE gives it."""

    segment_id: str | None = None
    tmp_segment_id: str | None = None
    recording_id: str | None = None
    sequence: int | None = None
    filename: str | None = None
    directory: str | None = None
    file_status: int | None = None
    location_id: str | None = None
    account_id: str | None = None
    route_id: str | None = None
    start: Time | None = None
    end: Time | None = None
    checksum_mismatch: bool | None = None
    pause_length: int | None = None
    paused_with_silence: bool | None = None
    secured_media: int | None = None
    has_video: bool | None = None
    archived: int | None = None
    archival_remarks: str | None = None
    archival_fail_count: int | None = None
    archiver_mode: str | None = None
    archiver_action: int | None = None
    conversion_status: int | None = None
    custom_data_sets: list[CustomData] | None = None
    dtmf_digits: list[Any] | None = None
    siprec_data_sets: list[SiprecData] | None = None


class Recording(Entity):
    """A recording as a reply has it: in full, or the few fields of a list.

    `call_id` (what the key has) and `end_time` (the last segment's end) are streamd's own. `duration` is
    milliseconds.
    """

    own: ClassVar[frozenset[str]] = frozenset({"extra", "call_id"})

    call_id: str | None = None
    recording_id: str | None = None
    tmp_recording_id: str | None = None
    isr_ucid: str | None = None
    ingress_call_id: str | None = None
    egress_call_id: str | None = None
    ani: str | None = None
    dnis: str | None = None
    account: str | None = None
    start_time: Time | None = None
    end_time: Time | None = None
    duration: int | None = None
    rss: str | None = None
    route: str | None = None
    agent_id: str | None = None
    agent_terminal: str | None = None
    sensitive: bool | None = None
    delete_flag: bool | None = None
    filename: str | None = None
    custom_data_sets: list[CustomData] | None = None
    segments: list[Segment] | None = None
    siprec_data_sets: list[SiprecData] | None = None


class LostRecording(Recording):
    """A recording that was seen running and never came up among the finished ones; what was known of it.

    `missed_since`: when it was found to run no more.
    """

    own: ClassVar[frozenset[str]] = Recording.own | {"missed_since"}

    missed_since: Time | None = None
