"""Spell CC-FS's words: operations, data types, columns, result codes (vendors/huawei_aicc.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CALL, RECORD = "call", "record"
KINDS_OF: Mapping[str, Sequence[str]] = {
    CALL: (CALL,),
    RECORD: (RECORD,),
    "call_record": (CALL, RECORD),
}

QUERY, DOWNLOAD = "query", "download"
OPERATIONS = (QUERY, DOWNLOAD)

CDR_COLUMNS = (
    *("developer", "account_id", "cc_id", "agent_id", "call_id", "caller_no", "callee_no"),
    *("wait_begin", "wait_end", "ack_begin", "ack_end", "call_begin", "call_end"),
    *("device_type", "device_no", "call_type", "release_cause", "call_id_num"),
    *("vdn_id", "pre_device_type", "pre_device_no", "skill_id", "current_skill_id"),
    *("device_in", "pre_device_in", "service_no", "leave_reason", "media_type", "sub_media_type"),
)
RECORDING_COLUMNS = (
    *("developer", "account_id", "cc_id", "agent_id", "call_id", "caller_no", "callee_no"),
    *("call_begin", "call_end", "file_name", "task_status", "task_result"),
    *("original_file_name", "vdn_id", "call_type", "media_type", "user_wanted_skill_id", "current_skill_id"),
)
COLUMNS: Mapping[str, Sequence[str]] = {CALL: CDR_COLUMNS, RECORD: RECORDING_COLUMNS}

SUCCESS = "0"
NO_DATA = "0300012"
NO_FILE, NO_FILE_EITHER = "0300011", "0300029"
DOWNLOAD_FLOW, QUERY_FLOW = "0300008", "0300009"
BAD_NAME = "0300022"

DESCRIPTIONS: Mapping[str, str] = {
    "0300001": "The request is invalid.",
    "0300002": "beginTime is invalid.",
    "0300003": "endTime is invalid.",
    "0300004": "accountId is invalid.",
    "0300005": "agentId is invalid.",
    "0300006": "callId, callerNo, calleeNo or calleeNo2 is invalid.",
    "0300007": "dataType is invalid.",
    DOWNLOAD_FLOW: "The download flow control point is reached.",
    QUERY_FLOW: "The query flow control point is reached.",
    "0300010": "callBackURL is invalid.",
    NO_FILE: "The file does not exist.",
    NO_DATA: "No data is found.",
    "0300013": "The begin time is later than the end time.",
    "0300014": "The interval exceeds {days} days.",
    "0300015": "The database is not available.",
    "0300016": "The time is later than the current time.",
    "0300017": "Several records match; ccId is needed.",
    "0300018": "The record belongs to another developer.",
    "0300019": "A parameter is invalid.",
    "0300020": "A parameter is invalid.",
    "0300021": "A parameter is invalid.",
    BAD_NAME: "The file name is invalid.",
    "0300023": "A parameter is invalid.",
    "0300024": "A parameter is invalid.",
    "0300025": "The server failed.",
    "0300026": "The account or VDN is refused.",
    "0300027": "A parameter is invalid.",
    "0300028": "A parameter is invalid.",
    NO_FILE_EITHER: "The file does not exist.",
    "0300030": "The server failed.",
    "0300045": "The server failed.",
    "0300046": "The server failed.",
    "0300047": "The server failed.",
    "0300048": "The server failed.",
    "0300049": "The server failed.",
}
"""Code -> resultDesc; the texts are invented, as is which code up to 10 means which field."""
