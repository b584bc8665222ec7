"""Run batch exports: one at a time, through their states, with the files that they hold (section 4)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from streamd.simulators.clock import ScaledClock
from streamd.simulators.omilia.records import Record, Records
from streamd.simulators.omilia.times import floor_hour, spell
from streamd.simulators.omilia.vocabulary import END
from streamd.simulators.switches import Switches

RETENTION = 60 * 86_400.0  # seconds
STATES = ("SUBMITTED", "PROCESSING", "RUNNING", "READY", "EXPIRED")
_OVER = ("READY", "EXPIRED", "FAILED")
_STATE_SECONDS = 2.0  # inferred: how long each state before READY lasts
_KEPT_SECONDS = 86_400.0


class File(Struct, frozen=True):
    """One file of an export: its name and the records in it."""

    name: str
    records: Sequence[Record]


class Order(Struct, frozen=True):
    """What a job was asked for: epoch seconds at the hour; `types` as spelt, `message_types` as meant."""

    name: str
    from_at: float
    to_at: float
    types: Sequence[str]
    message_types: Sequence[str]


class Job:
    """One export. `foreign_until`: it is somebody else's and runs until then, else 0."""

    def __init__(self, order: Order, submitted_at: float, foreign_until: float = 0.0) -> None:
        self.id = str(uuid.uuid4())
        self.order, self.submitted_at = order, submitted_at
        self.expired = False
        self.pages_sent = 0
        self._foreign_until = foreign_until
        self._files: list[File] | None = None

    def __repr__(self) -> str:
        return f"<Job {self.order.name}>"

    def status(self, now: float, faults: Switches) -> str:
        """Return the state of this moment."""
        if self._foreign_until:
            return "RUNNING" if now < self._foreign_until else "EXPIRED"
        if self.expired:
            return "EXPIRED"
        if now < self._ready_at(faults):
            states = _states(faults)
            return states[int((now - self.submitted_at) // _each(faults))]
        if faults.has("never-ready"):
            return "RUNNING"
        if faults.has("failed-state"):
            return "FAILED"
        kept = faults.number("expires-after", _KEPT_SECONDS)
        return "READY" if now < self._ready_at(faults) + kept else "EXPIRED"

    def files(self, records: Records, faults: Switches) -> list[File]:
        """Return the files of a job that is READY; they are made once."""
        if self._files is None:
            self._files = _make_files(self.order, self.submitted_at, records, faults)
        return self._files

    def to_wire(self, group: str, now: float, faults: Switches) -> dict[str, Any]:
        digits = faults.number("fraction-digits", -1)
        status = self.status(now, faults)
        finished = self._ready_at(faults)
        if faults.has("finished-late"):
            finished = floor_hour(finished + 3 * 86_400)
        return {
            "name": self.order.name,
            "status": status,
            "group": group,
            "export_id": self.id,
            "time_submitted": spell(self.submitted_at, digits),
            "from_date": spell(self.order.from_at, digits),
            "finished_date": spell(finished, digits) if status in _OVER else None,
            "to_date": spell(self.order.to_at, digits),
            "types": self.order.types,
        }

    def _ready_at(self, faults: Switches) -> float:
        return self.submitted_at + len(_states(faults)) * _each(faults)


class Jobs:
    """All jobs, oldest first."""

    def __init__(self, clock: ScaledClock, records: Records) -> None:
        self.all: list[Job] = []
        self._clock, self._records = clock, records

    def find(self, identifier: str) -> Job | None:
        return next((each for each in self.all if each.id == identifier), None)

    def is_busy(self, faults: Switches) -> bool:
        """Tell whether a job of the group runs."""
        now = self._clock.now()
        return any(each.status(now, faults) not in _OVER for each in self.all)

    def add(self, order: Order) -> Job:
        job = Job(order, self._clock.now())
        self.all.append(job)
        return job

    def add_foreign(self, seconds: float) -> None:
        """Let an export of somebody else run for `seconds`."""
        now = self._clock.now()
        hour = floor_hour(now)
        order = Order("Other_Team_Export", hour - 7200, hour - 3600, ["Dialog Step"], ())
        self.all.append(Job(order, now, foreign_until=now + seconds))

    def files(self, job: Job, faults: Switches) -> list[File]:
        return job.files(self._records, faults)


def _states(faults: Switches) -> tuple[str, ...]:
    extra = ("VALIDATING",) if faults.has("unknown-state") else ()
    return ("SUBMITTED", "PROCESSING", *extra, "RUNNING")


def _each(faults: Switches) -> float:
    return max(0.001, faults.number("slow-states", _STATE_SECONDS))


def _make_files(order: Order, submitted_at: float, records: Records, faults: Switches) -> list[File]:
    """Sort what the order covers by type and hour into files of limited size."""
    first = max(order.from_at, submitted_at - RETENTION)
    hours: dict[tuple[str, float], list[Record]] = {}
    for record in records.of_types(order.message_types):
        at = _filed_at(record, faults)
        if first <= at < order.to_at:
            hours.setdefault((record.message_type, floor_hour(at)), []).append(record)
    most = max(1, int(faults.number("file-records", 1000)))
    return [
        File(f"{kind}/{spell(hour)[:13]}-{place // most}.json", found[place : place + most])
        for (kind, hour), found in sorted(hours.items())
        for place in range(0, len(found), most)
    ]


def _filed_at(record: Record, faults: Switches) -> float:
    """Return the instant that decides which hour a record belongs to."""
    if faults.has("filter-made"):
        return record.made_at
    if faults.has("filter-end") and record.message_type == END:
        return record.ends_at / 1000
    return record.time / 1000
