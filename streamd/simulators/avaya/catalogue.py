"""Describe the measure producers, as the Producer Management API does (P:prod).

Keys here are the catalogue's; the stream may use others (vendors/avaya.md section 3, trap 1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

DESCRIPTION = "Avaya Experience Platform™ metrics"
LOCALES = ("pt", "en", "fr", "ko")

_KEYS: Mapping[str, Sequence[str]] = {
    "Agent": ("agentId",),
    "AgentByChannel": ("agentId", "channelId"),
    "Queue": ("queueId",),
    "QueueByChannel": ("channelId", "queueId"),
    "DialogDetail": ("agentId", "channelId"),
}
_STRING, _NUMBER, _DURATION, _TIME = "STRING", "NUMBER", "DURATION", "TIME_IN_STATE"
_AGENT = {
    "abandonedFromAlerting": _NUMBER,
    "activeDuration": _DURATION,
    "acwDuration": _DURATION,
    "agentDisplayName": _STRING,
    "agentFirstName": _STRING,
    "agentLastName": _STRING,
    "agentLoginId": _STRING,
    "agentLogonDuration": _DURATION,
    "agentState": _STRING,
    "alertDuration": _DURATION,
    "coachedDuration": _DURATION,
    "consultDuration": _DURATION,
    "holdDuration": _DURATION,
    "idleTimeDuration": _DURATION,
    "reasonCodeName": _STRING,
    "timeActive": _TIME,
    "timeInACW": _TIME,
    "timeInState": _TIME,
    "timeLoggedIn": _TIME,
    "timeOnHold": _TIME,
    "transferred": _NUMBER,
    "userStatus": _STRING,
}
_QUEUE = {
    "Answered": _NUMBER,
    "Completed": _NUMBER,
    "Offered": _NUMBER,
    "abandonedFromAlerting": _NUMBER,
    "abandonedFromQueue": _NUMBER,
    "active": _NUMBER,
    "activeAgentsInACW": _NUMBER,
    "activeDuration": _DURATION,
    "activeEngagementsInACW": _NUMBER,
    "alertDuration": _DURATION,
    "coached": _NUMBER,
    "coachedDuration": _DURATION,
    "coaching": _NUMBER,
    "coachingDuration": _DURATION,
    "contactsQueueing": _NUMBER,
    "isDefaultQueue": _STRING,
    "queueName": _STRING,
}
_MEASURES: Mapping[str, Mapping[str, str]] = {
    "Agent": _AGENT,
    "AgentByChannel": _AGENT,
    "Queue": _QUEUE,
    "QueueByChannel": _QUEUE,
    "DialogDetail": {"abandonedIndicator": _STRING, "acwEndTimestamp": "DATE"},
}

# In the catalogue of every account, though the simulator plays ITD producers only.
CDR_PRODUCER = "DialogDetail_cdr_1.0.0"


def listing(producer: str) -> dict[str, Any]:
    """Return the short description of `producer`: the list call leaves measure sets out."""
    name, processor, version = producer.split("_", 2)
    return {
        "measureProducerId": producer,
        "measureProducerName": name,
        "processorType": processor.upper(),
        "description": DESCRIPTION,
        "version": version,
    }


def details(producer: str) -> dict[str, Any]:
    """Return the full description of `producer`, with its measure set."""
    name = producer.split("_", 1)[0]
    measures = [
        {"name": measure, "type": kind, "displayName": display_name(measure), "active": True}
        for measure, kind in _MEASURES[name].items()
    ]
    return {**listing(producer), "measureSets": [{"keys": list(_KEYS[name]), "measures": measures}]}


def dictionary(producer: str, locale: str) -> dict[str, Any]:
    """Return the display names of the measures of `producer`; the simulator has them in English only."""
    name = producer.split("_", 1)[0]
    translations = [
        {"name": each, "displayName": display_name(each), "description": display_name(each)}
        for each in (*_KEYS[name], *_MEASURES[name])
    ]
    return {"locale": locale, "description": DESCRIPTION, "measures": translations}


def display_name(measure: str) -> str:
    """Write `abandonedFromAlerting` as `Abandoned From Alerting`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", measure)
    return words[0].upper() + words[1:]
