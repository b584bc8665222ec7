"""Hold what was asked for, and choose the rows that answer it (sections 2 and 3)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from operator import attrgetter

from msgspec import Struct

from streamd.simulators.huawei_aicc.bulk import Bulk
from streamd.simulators.huawei_aicc.options import HuaweiOptions
from streamd.simulators.huawei_aicc.records import Picked, Row, Rows
from streamd.simulators.huawei_aicc.times import instant, to_utc
from streamd.simulators.huawei_aicc.vocabulary import CALL, CDR_COLUMNS, KINDS_OF
from streamd.simulators.switches import Switches

_ASKED = CDR_COLUMNS[:7]  # both kinds of rows begin with these


class Order(Struct, frozen=True):
    """A query as it was asked: `begin` and `end` on the tenant's wall; what was left out is empty.

    `account_asked`: accountId was there, be it empty.
    """

    begin: datetime
    end: datetime
    data_type: str
    callback_url: str
    account_id: str = ""
    account_asked: bool = False
    agent_id: str = ""
    call_id: str = ""
    caller_no: str = ""
    callee_no: str = ""


class Announcement(StrEnum):
    """What became of a job's callback."""

    DUE = "due"
    DONE = "done"
    NEVER = "never"
    GIVEN_UP = "given up"


class Chosen(Struct, frozen=True):
    """What a file holds."""

    rows: Sequence[Picked]
    bulks: Sequence[Bulk]

    @property
    def is_empty(self) -> bool:
        return not self.rows and not self.bulks


class Job:
    """One export; it has no file where `has_file` is False. Times are epoch seconds of the platform."""

    def __init__(self, number: int, order: Order, asked_at: float, ready_at: float, day: str) -> None:
        self.number, self.order, self.asked_at, self.ready_at = number, order, asked_at, ready_at
        self.response_id = uuid.uuid4().hex
        self.name = f"{day}_{self.response_id}.zip"
        self.has_file = True
        self.gone = False
        self.announcement = Announcement.DUE
        self.chosen: Chosen | None = None

    def __repr__(self) -> str:
        return f"<Job {self.name}>"


class Jobs:
    """All jobs, oldest first."""

    def __init__(self, options: HuaweiOptions, zone: tzinfo, rows: Rows) -> None:
        self.all: list[Job] = []
        self.bulks: list[Bulk] = []
        self._options, self._zone, self._rows = options, zone, rows
        self._by_name: dict[str, Job] = {}

    def find(self, name: str) -> Job | None:
        return self._by_name.get(name)

    def add(self, order: Order, now: float, faults: Switches) -> Job:
        ready_at = now if faults.has("callback-early") else now + faults.number("ready-after", 14)
        zone = UTC if faults.has("day-utc") else self._zone
        job = Job(len(self.all), order, now, ready_at, f"{datetime.fromtimestamp(now, zone):%Y%m%d}")
        self.all.append(job)
        self._by_name[job.name] = job
        return job

    def choose(self, job: Job, faults: Switches) -> Chosen:
        """Return what a job's file holds: what was written when it got ready; chosen once."""
        if job.chosen is None:
            job.chosen = self.match(job.order, job.ready_at, faults)
        return job.chosen

    def match(self, order: Order, at: float, faults: Switches) -> Chosen:
        """Return what answers an order at an instant."""
        covers, dated, kinds = self._window(order, faults), _dated(faults), KINDS_OF[order.data_type]
        rows = []
        for row in self._rows.all:
            if row.kind in kinds and covers(dated(row)) and self._is_asked(row, order):
                version = row.seen_at(at)
                if version is not None:
                    rows.append(Picked(row, version))
        bulks = [each for each in self.bulks if CALL in kinds and covers(each.begin)]
        return Chosen(rows, [each for each in bulks if order.account_id in ("", each.account_id)])

    def _window(self, order: Order, faults: Switches) -> Callable[[float], bool]:
        """Return what tells whether an instant lies in the window."""
        half_open = faults.has("bounds-begin")
        if faults.has("by-the-wall"):
            zone = self._zone

            def on_the_wall(at: float) -> bool:
                moment = datetime.fromtimestamp(int(at), zone).replace(tzinfo=None)
                return order.begin <= moment and (moment < order.end if half_open else moment <= order.end)

            return on_the_wall
        begin, end = bounds(order, self._zone, faults)
        return lambda at: begin <= at < end if half_open else begin <= at and int(at) <= end

    def _is_asked(self, row: Row, order: Order) -> bool:
        accounts = (order.account_id,) if order.account_id else self._options.account_ids
        said = dict(zip(_ASKED, row.versions[0].values, strict=False))
        return said["account_id"] in accounts and all(
            not getattr(order, name) or getattr(order, name) == said[name] for name in _ASKED[3:]
        )


def bounds(order: Order, zone: tzinfo, faults: Switches) -> tuple[float, float]:
    """Return the window in epoch seconds."""
    second = faults.has("second-pass")
    return instant(order.begin, zone, second=second), instant(order.end, zone, second=second)


def _dated(faults: Switches) -> Callable[[Row], float]:
    """Return what tells the instant by which a window holds a row."""
    if faults.has("filter-insert"):
        return lambda row: row.versions[0].visible_at
    return attrgetter("end" if faults.has("filter-end") else "begin")


def describe(job: Job) -> dict[str, object]:
    """Return what a judge in another process needs."""
    order = job.order
    return {
        "response_id": job.response_id,
        "name": job.name,
        "begin": str(order.begin),
        "end": str(order.end),
        "account_id": order.account_id,
        "data_type": order.data_type,
        "asked_at": to_utc(job.asked_at),
        "ready_at": to_utc(job.ready_at),
        "announcement": job.announcement,
    }
