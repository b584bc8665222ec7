"""Do to the simulated recorder what a test asks for; nothing here waits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from streamd.simulators.http import Response
from streamd.simulators.oracle_isr.life import Caller
from streamd.simulators.oracle_isr.notifier import EVENTS
from streamd.simulators.oracle_isr.recordings import Recording
from streamd.simulators.oracle_isr.service import Service


def start(service: Service, beside: Recording | None = None, **caller: Any) -> Recording:
    """Begin to record; `beside`: the same call is recorded once more. `caller`: the fields of `Caller`."""
    if beside is not None:
        own = service.faults.has("ucid-per-recording")
        ucid = f"{beside.isr_ucid}-2" if own else beside.isr_ucid
        caller = {"ingress_call_id": beside.ingress_call_id, "isr_ucid": ucid, **caller}
    now = service.clock.now()
    visible_at = now + service.faults.number("live-late")
    return service.life.begin(now, Caller(**caller), visible_at=visible_at)


def recorded(
    service: Service, seconds: float = 30.0, ended_ago: float = 0.0, *, archive: bool = True, **caller: Any
) -> Recording:
    """Let one be found now that ended in the past, of which nobody was notified."""
    now = service.clock.now()
    ended = now - ended_ago
    recording = service.life.begin(ended - seconds, Caller(**{"pushed": False, **caller}))
    service.life.end(recording, ended, math.inf)
    service.life.finish(recording, now, archive=archive)
    return recording


def history(service: Service, hours: float, calls: int) -> list[Recording]:
    """Let `calls` recordings have ended, evenly over the last `hours`, and be archived."""
    apart = hours * 3600 / max(1, calls)
    made = []
    for number in range(calls):
        recording = recorded(service, ended_ago=(calls - number - 0.5) * apart, archive=False)
        service.life.archive(recording, service.clock.now())
        made.append(recording)
    return made


def call(service: Service) -> Recording:
    """Let somebody call now, with a life that is drawn."""
    return service.calls.call(service.clock.now())


def set_rate(service: Service, rate: float) -> None:
    """Let calls begin at `rate` a real second."""
    service.calls.set_rate(rate, service.clock.now())


def act(service: Service, name: str, recording: Recording, **more: Any) -> Recording:
    """Let `Life.<name>` happen to a recording now."""
    getattr(service.life, name)(recording, service.clock.now(), **more)
    return recording


def notify(service: Service, event: str = EVENTS[0], ucid: str = "x-isr-ucid-forged@198.51.100.1") -> None:
    """Notify of what is no recording."""
    service.notifier.forge(event, ucid)


def notify_about(service: Service, recording: Recording, event: str) -> None:
    """Notify of a recording out of turn."""
    service.notifier.announce(event, recording, service.clock.now())


def reply_with(
    service: Service, body: bytes, status: int, content_type: str, times: int, operation: str
) -> None:
    """Put these bytes in the place of the next answers to `operation`."""
    service.prepared[operation].extend([Response(status, body, content_type)] * times)


def state(service: Service) -> Mapping[str, Any]:
    """Count what there is, for who only wants to know how it goes."""
    fates: dict[str, int] = {}
    for each in service.recordings.all:
        fates[each.fate] = fates.get(each.fate, 0) + 1
    return {
        "now": service.clock.now(),
        "rate": service.calls.rate,
        "recordings": len(service.recordings.all),
        "fates": fates,
        "settled": service.is_settled,
        "tokens": service.accounts.valid,
        "most_parallel": service.log.most_parallel,
        "refused_parallel": service.log.refused_parallel,
    }
