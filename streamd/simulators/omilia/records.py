"""Keep every record that the platform made, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct


class Identity(NamedTuple):
    """What tells one record from all others: `time` as sent (ms), `action` the name of a step's action."""

    message_type: str
    id: str
    time: int
    action: str


class Fate(StrEnum):
    """What became of a record by streaming; what a client fetched by export, `Record.exported` counts."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    REDELIVERED = "redelivered"
    DROPPED = "dropped"
    """Failed, and to come back by reconciliation."""
    LOST = "lost"
    """Failed, and never to come back: too old, or its subscription is gone."""
    DISCARDED = "discarded"
    UNSUBSCRIBED = "unsubscribed"
    """Nobody was subscribed to its type when it was made."""
    WITHHELD = "withheld"


class Record(Struct, gc=False):
    """One record of the truth; `payload` as it is pushed, `time` and `ends_at` in ms, `made_at` in seconds.

    `accepted` and `failed` count deliveries, `exported` downloads of files that hold it. Whether the client
    kept what it accepted nobody here can know.
    """

    number: int
    message_type: str
    id: str
    time: int
    action: str
    made_at: float
    ends_at: int
    payload: bytes
    accepted: int = 0
    failed: int = 0
    exported: int = 0
    state: Fate = Fate.WAITING

    @property
    def identity(self) -> Identity:
        return Identity(self.message_type, self.id, self.time, self.action)

    @property
    def fate(self) -> Fate:
        if not self.accepted:
            return self.state
        return Fate.REDELIVERED if self.failed else Fate.DELIVERED

    def to_json(self) -> dict[str, Any]:
        """Return what a judge in another process needs."""
        return {
            "number": self.number,
            "identity": self.identity,
            "made_at": self.made_at,
            "fate": self.fate,
            "accepted": self.accepted,
            "failed": self.failed,
            "exported": self.exported,
            "record": msgspec.Raw(self.payload),
        }


def identify(message: Mapping[str, Any]) -> Identity:
    """Return the identity of a record as it was pushed or exported."""
    time = message.get("time") or message.get("voiceprint", {}).get("creation_ts", 0)
    identifier = message.get("id") or message.get("dialog_id", "")
    return Identity(message["message_type"], identifier, time, message.get("action", {}).get("name", ""))


class Records:
    """All records, by number from 0; `count` counts also those that are not kept."""

    def __init__(self, keep: bool) -> None:
        self.all: list[Record] = []
        self.count = 0
        self._keep = keep

    def add(self, message: Mapping[str, Any], made_at: float) -> Record:
        """Take one message, as made `made_at`."""
        kind, identifier, time, action = identify(message)
        record = Record(
            number=self.count,
            message_type=kind,
            id=identifier,
            time=time,
            action=action,
            made_at=made_at,
            ends_at=time + int(message.get("duration", 0)),
            payload=msgspec.json.encode(message),
        )
        self.count += 1
        if self._keep:
            self.all.append(record)
        return record

    def of_types(self, types: Iterable[str]) -> Iterator[Record]:
        wanted = frozenset(types)
        return (each for each in self.all if each.message_type in wanted)

    def made_since(self, at: float, message_type: str) -> list[Record]:
        """Return those of a type made at `at` or later, oldest first."""
        return sorted(
            (each for each in self.of_types([message_type]) if each.made_at >= at),
            key=lambda each: each.made_at,
        )
