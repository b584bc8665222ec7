"""The words for CC-FS's codes (vendors/huawei_aicc.md, section 5; the whole tables: P5, pages named below).

A word stands beside its code, never instead of it. A code that is not here has no word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Words = Mapping[str, str]

DEVICE_TYPES: Final[Words] = {"1": "queue", "2": "agent", "3": "ivr", "10": "cdn", "14": "pgr"}

# cec_07_4245, cec_07_2635, cec_07_0582
CALL_TYPES: Final[Words] = {
    "0": "normal_in",
    "1": "special_in",
    "5": "long_distance_in",
    "6": "internal",
    "7": "normal_out",
    "8": "agent_out",
    "9": "pri_out",
    "10": "ivr_out",
    "11": "phone_agent_out",
    "12": "ivr_pri_out",
    "13": "network_in",
    "14": "network_out",
    "15": "network_inspection_in",
    "16": "network_inspection_out",
    "17": "network_internal_in",
    "18": "network_internal_out",
    "20": "aid",
    "21": "international_in",
    "22": "relay",
    "23": "international_out",
    "40": "reserved_out",
    "41": "preoccupied_out",
    "42": "preconnected_out",
    "43": "predicted_out",
    "44": "previewed_out",
    "45": "callback_out",
    "46": "outbound",
    "51": "two_party_help",
    "52": "three_party_help",
    "53": "multi_party",
}

# cec_07_0841
RECORDING_CALL_TYPES: Final[Words] = {"0": "inbound", "1": "outbound"}

MEDIA_TYPES: Final[Words] = {
    "1": "text",
    "2": "web_phone",
    "3": "escort",
    "4": "callback",
    "5": "voice",
}

TASK_STATUSES: Final[Words] = {"0": "not_converted", "1": "converted"}

# cec_07_0842, cec_07_4246
LEAVE_REASONS: Final[Words] = {
    "0": "normal_or_transfer",
    "1": "overflow_transfer",
    "2": "timeout_transfer",
    "3": "no_agent_transfer",
    "4": "queue_cancelled_transfer",
    "5": "agent_no_answer_transfer",
    "6": "suspended_resumed",
    "7": "held_connected",
    "8": "three_party_help",
    "9": "held_picked_up",
    "10": "three_party",
    "11": "help_requester_released",
    "12": "intercepted",
    "13": "picked_up",
    "14": "called_not_configured",
    "15": "user_released",
    "16": "agent_released",
    "17": "transferred_out",
    "18": "held",
    "19": "internal_error",
    "20": "called_busy",
    "22": "phone_off",
    "23": "phone_out_of_area",
    "24": "no_such_number",
    "25": "no_resources",
    "26": "no_answer",
    "27": "called_rejected",
    "28": "success_transferred_to_queue",
    "29": "three_party_transferred_to_queue",
    "30": "success_transfer_timeout",
    "31": "three_party_transfer_timeout",
    "34": "network_call_failed_queued",
    "35": "network_call_returned_queued",
    "36": "queued_rerouted",
    "37": "cdn_by_inbound_route",
    "38": "cdn_by_consultation",
    "39": "cdn_routed",
    "40": "cdn_timeout",
    "41": "consultation_cancelled_or_failed",
    "42": "pgr_by_cdn_timeout",
    "43": "pgr_by_cdn_route",
    "44": "pgr_by_inbound_route",
    "45": "pgr_by_consultation",
    "46": "agent_unreachable_rerouted",
    "47": "queued_several",
    "48": "answered_from_secondary_queue",
    "49": "agent_refused_cancelled",
    "50": "agent_rejected",
    "51": "conference_entered",
    "52": "conference_released",
    "53": "conference_expelled",
    "54": "low_completion_transfer",
    "88": "caller_hung_up_after_answer",
    "89": "caller_hung_up_before_answer",
}
