"""The data of a Huawei connector's events (INTERFACE.md, "Events"; vendors/huawei_aicc.md, section 5)."""

from __future__ import annotations

from msgspec import Struct

from streamd.model import Time


class _Row(Struct, omit_defaults=True, gc=False):
    """What every row tells, in the order and under the names of its columns; empty cells are left out.

    Numbers of parties and ids stay the text that they are. `revision` counts what this row has been, from 1,
    and from 1 anew for what a backfill finds too far back to be remembered. `developer` only where that is
    not the one whose keys sign. `extra` holds columns that no document knows (`column_30` …) and times that
    are none, as they came.
    """

    revision: int
    developer: str = ""
    account_id: str = ""
    cc_id: str = ""
    agent_id: str = ""
    call_id: str = ""
    caller_no: str = ""
    callee_no: str = ""
    extra: dict[str, str] | None = None


class CdrRecorded(_Row, omit_defaults=True, gc=False):
    """One leg of a call: one device that it visited. The row with `call_id_num` -1 is the last one."""

    wait_begin: Time | None = None
    wait_end: Time | None = None
    ack_begin: Time | None = None
    ack_end: Time | None = None
    call_begin: Time | None = None
    call_end: Time | None = None
    device_type: str = ""
    device_type_word: str = ""
    device_no: str = ""
    call_type: str = ""
    call_type_word: str = ""
    release_cause: str = ""
    call_id_num: str = ""
    vdn_id: str = ""
    pre_device_type: str = ""
    pre_device_type_word: str = ""
    pre_device_no: str = ""
    skill_id: str = ""
    current_skill_id: str = ""
    device_in: str = ""
    pre_device_in: str = ""
    service_no: str = ""
    leave_reason: str = ""
    leave_reason_word: str = ""
    media_type: str = ""
    media_type_word: str = ""
    sub_media_type: str = ""


class CallEnded(_Row, omit_defaults=True, gc=False):
    """A call that is over, as its last row tells it; `release_cause` means something only here."""

    vdn_id: str = ""
    call_type: str = ""
    call_type_word: str = ""
    media_type: str = ""
    media_type_word: str = ""
    device_type: str = ""
    device_type_word: str = ""
    device_no: str = ""
    call_end: Time | None = None
    release_cause: str = ""
    leave_reason: str = ""
    leave_reason_word: str = ""


class RecordingAvailable(_Row, omit_defaults=True, gc=False):
    """A recording that can be fetched; `task_*` tell of its conversion to text, which comes later."""

    call_begin: Time | None = None
    call_end: Time | None = None
    file_name: str = ""
    task_status: str = ""
    task_status_word: str = ""
    task_result: str = ""
    original_file_name: str = ""
    vdn_id: str = ""
    call_type: str = ""
    call_type_word: str = ""
    media_type: str = ""
    media_type_word: str = ""
    user_wanted_skill_id: str = ""
    current_skill_id: str = ""
