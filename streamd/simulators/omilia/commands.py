"""Do to the simulated platform what a test asks for; only `settle` waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamd.simulators.omilia.records import Record
from streamd.simulators.omilia.service import Service
from streamd.simulators.omilia.streaming import stop_streaming


def set_rate(service: Service, rate: float) -> None:
    """Let callers make `rate` records a real second; 0: none, inf: as many as the client takes."""
    service.rate = rate
    service.wake()


def call(service: Service, children: int | None = None, end_type: str = "") -> list[Record]:
    """Let a whole call happen now; return its records in order."""
    return [service.emit(each) for each in service.dialogs.call(children, end_type)]


def audit(service: Service) -> Record:
    return service.emit(service.dialogs.audit())


def voices(service: Service) -> list[Record]:
    """Let somebody enrol his voice and be verified by it."""
    return [service.emit(each) for each in service.dialogs.voices()]


def history(service: Service, hours: float, calls: int) -> list[Record]:
    """Let `calls` calls have happened, evenly over the last `hours`: to be exported, never to be streamed."""
    now, apart = service.clock.now(), hours * 3600 / max(1, calls)
    made = []
    for number in range(calls):
        begun = int((now - (number + 1) * apart) * 1000)
        for message in service.dialogs.call(starts_at=begun):
            made_at = (message["time"] + message.get("duration", 0)) / 1000
            made.append(service.emit(message, made_at))
    return made


def send(service: Service, message: Mapping[str, Any]) -> Record:
    """Emit a record of the caller's; it needs a `message_type` and an identity (`identify`) to itself."""
    return service.emit(message)


def vanish(service: Service, data_type: str) -> bool:
    """Drop the subscription of a type as the platform may do, silently; False: there is none."""
    subscription = service.subscriptions.of_type(data_type)
    if subscription is None:
        return False
    stop_streaming(service, subscription)
    return True


def add_foreign(service: Service, data_type: str, hidden: bool = False) -> None:
    """Let somebody else take a free slot."""
    service.subscriptions.add_foreign(data_type, service.clock.now(), hidden=hidden)


def add_foreign_job(service: Service, seconds: float = 60.0) -> None:
    service.jobs.add_foreign(seconds)


def expire_jobs(service: Service) -> None:
    for job in service.jobs.all:
        job.expired = True


async def settle(service: Service) -> None:
    """Wait until nothing is on its way to the client and nothing has to come back."""
    while not service.is_settled:
        await service.progress.park()


def fates(service: Service) -> dict[str, int]:
    """Count the records by what became of them; `exported`: fetched in a zip, whatever else."""
    counts: dict[str, int] = {"exported": 0}
    for record in service.records.all:
        counts[record.fate] = counts.get(record.fate, 0) + 1
        counts["exported"] += bool(record.exported)
    return counts
