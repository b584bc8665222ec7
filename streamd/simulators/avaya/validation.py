"""Find what P:notif calls constraint violations in a request."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import msgspec

from streamd.simulators.avaya.problems import Violation

# What msgspec raises on bytes that are no JSON (LIBRARIES.md section 5).
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_ACCOUNT = "^[a-zA-Z]{6}$"
_NULL, _SIZE, _PATTERN, _ENUM, _UNKNOWN = 20002, 20003, 20006, 20007, 20008  # only 20002, 20006 are published


def account_violations(account: str) -> list[Violation]:
    if re.match(_ACCOUNT, account):
        return []
    return [Violation("accountId", f'must match "{_ACCOUNT}"', _PATTERN)]


def create_violations(body: bytes, producers: Collection[str]) -> tuple[dict[str, Any], list[Violation]]:
    """Return the request for a subscription and its violations.

    `producers` are the ids that exist, spelt exactly; empty: any id passes (row 19).
    """
    try:
        asked = msgspec.json.decode(body)
    except UNREADABLE:
        asked = None
    if not isinstance(asked, dict):
        return {}, [Violation("body", "must be a JSON object", _PATTERN)]
    violations = [
        Violation(name, "must not be null", _NULL)
        for name in ("family", "events", "transport")
        if asked.get(name) is None
    ]
    if violations:
        return asked, violations
    asked.setdefault("extensions", {})
    violations += _family(asked) + _events(asked["events"]) + _extensions(asked, producers)
    return asked, violations


def _family(asked: dict[str, Any]) -> list[Violation]:
    violations = []
    if asked["family"] not in ("AGENT_ENGAGEMENT", "ANALYTICS"):
        violations.append(Violation("family", "must be AGENT_ENGAGEMENT or ANALYTICS", _ENUM))
    transport = asked["transport"]
    if not isinstance(transport, dict) or transport.get("type") != "WEBSOCKET":
        violations.append(Violation("transport.type", "must be WEBSOCKET for this family", _ENUM))
    return violations


def _events(events: Any) -> list[Violation]:
    if not isinstance(events, list) or not 1 <= len(events) <= 25:
        return [Violation("events", "size must be between 1 and 25", _SIZE)]
    if not all(isinstance(each, str) and 1 <= len(each) <= 256 for each in events):
        return [Violation("events", "each must have between 1 and 256 characters", _SIZE)]
    return []


def _extensions(asked: dict[str, Any], producers: Collection[str]) -> list[Violation]:
    extensions = asked["extensions"]
    if not isinstance(extensions, dict) or len(extensions) > 50:
        return [Violation("extensions", "size must be between 0 and 50", _SIZE)]
    if not all(isinstance(value, str) and len(value) <= 256 for value in extensions.values()):
        return [Violation("extensions", "each must have at most 256 characters", _SIZE)]
    if asked["family"] != "ANALYTICS":
        return []
    producer = extensions.get("measureProducerId")
    if producer is None:
        return [Violation("extensions.measureProducerId", "must not be null", _NULL)]
    if producers and producer not in producers:
        return [Violation("extensions.measureProducerId", "unknown measure producer", _UNKNOWN)]
    return []
