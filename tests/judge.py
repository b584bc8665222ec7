"""Judge what is on Kafka by what the simulator says it sent: the promises of INTERFACE.md, "about loss"."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from streamd.simulators.avaya import LogEntry, digest
from tests.kafka.reader import Record


def events(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Give the CloudEvents of structured records, tombstones left out."""
    return [json.loads(record.value) for record in records if record.value is not None]


def instant(text: str | None) -> float:
    """Turn RFC 3339 into seconds since the epoch; None is before everything."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def gaps(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Give the latest word on each gap."""
    return [event["data"] for event in {r.key: json.loads(r.value) for r in records}.values()]


def undeclared(
    sent: Sequence[LogEntry], measures: Iterable[dict[str, Any]], holes: Sequence[Mapping[str, Any]]
) -> list[LogEntry]:
    """Give the messages that are neither on Kafka nor inside a declared gap."""
    arrived: dict[tuple[Any, ...], int] = defaultdict(int)
    for event in {event["id"]: event for event in measures}.values():
        data = event["data"]
        if data.get("reason") is None:
            arrived[_identity(data)] += 1
    missing = []
    # Of the same content sent several times, those in a gap may have arrived and need not have.
    for entry in sent:
        if any(_covers(hole, entry) for hole in holes):
            continue
        key = (entry.producer, tuple(sorted(dict(entry.keys).items())), entry.event_action, entry.marker)
        if arrived[key]:
            arrived[key] -= 1
        else:
            missing.append(entry)
    return missing


def _identity(data: Mapping[str, Any]) -> tuple[Any, ...]:
    keys = tuple(sorted(data["keys"].items()))
    return data["measure_producer_id"], keys, data["event_action"], digest(data.get("measures") or None)


def _covers(hole: Mapping[str, Any], entry: LogEntry) -> bool:
    if "*" not in hole["scope"] and entry.producer not in hole["scope"]:
        return False
    until = instant(hole["to"]) if hole["to"] else float("inf")
    return instant(hole["from"]) <= entry.sent_at <= until


def spans(holes: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[str], float, float]]:
    """Give the gaps for people: cause, scope, begin and end in seconds since the epoch."""
    return sorted(
        (hole["cause"], hole["scope"], instant(hole["from"]), instant(hole["to"])) for hole in holes
    )


def missing_numbers(all_events: Iterable[dict[str, Any]]) -> dict[tuple[str, str], list[int]]:
    """Give (source, epoch) -> the sequence numbers that are not there, from 1 to the highest."""
    seen: dict[tuple[str, str], set[int]] = defaultdict(set)
    for event in all_events:
        if "sequence" in event:
            seen[event["source"], event["epoch"]].add(int(event["sequence"]))
    holes = {source: sorted(set(range(1, max(found) + 1)) - found) for source, found in seen.items()}
    return {source: lost for source, lost in holes.items() if lost}


def contradictions(all_events: Iterable[dict[str, Any]]) -> list[str]:
    """Give the ids that stand for two different events."""
    first: dict[tuple[str, str], dict[str, Any]] = {}
    return [
        event["id"]
        for event in all_events
        if first.setdefault((event["source"], event["id"]), event) != event
    ]


def latest(records: Iterable[Record]) -> dict[tuple[Any, ...], dict[str, str]]:
    """Fold the state topic as a consumer does: key -> measures, null removes, older than held is ignored."""
    held: dict[bytes, tuple[tuple[bytes, bytes], bytes | None]] = {}
    for record in records:
        headers = dict(record.headers)
        position = (headers["epoch"], headers["sequence"])
        if record.key not in held or position >= held[record.key][0]:
            held[record.key] = (position, record.value)
    view = {}
    for _, value in held.values():
        if value is not None:
            data = json.loads(value)["data"]
            keys = tuple(sorted(data["keys"].items()))
            account, source = data["account_id"], data["event_source_id"]
            view[account, source, data["measure_producer_id"], keys] = data["measures"]
    return view
