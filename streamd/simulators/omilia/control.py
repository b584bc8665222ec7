"""Steer and inspect the simulator from another process, under `/_simulator/` of the exports port.

Omilia has no such paths: they are for benches and chaos tests. GET `records?since=N&limit=N`,
`deliveries?since=N&limit=N`, `fates`, `tokens`, `requests`, `faults`, `state`; POST, with a JSON object whose
members are the arguments of the command: `faults {"faults": [...]}`, `rate {"rate": N}`, `advance {"seconds":
N}`, `call {"children", "end_type"}`, `audit {}`, `voices {}`, `history {"hours", "calls"}`, `send
{"message"}`, `vanish {"data_type"}`, `foreign {"data_type", "hidden"}`, `foreign-job {"seconds"}`,
`expire-tokens {}`, `expire-jobs {}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from streamd.simulators.http import Request, Response
from streamd.simulators.omilia import commands
from streamd.simulators.omilia.records import Record
from streamd.simulators.omilia.service import Service
from streamd.simulators.steering import Act, page, respond


class Control:
    """The HTTP side of `commands`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._acts = {name: partial(self._carry_out, act) for name, act in _COMMANDS.items()}

    def respond(self, request: Request) -> Response:
        """Answer `request`; a command that cannot be carried out is a 400 that says why."""
        return respond(request, self._show, self._acts)

    def _carry_out(self, act: Act, /, **asked: Any) -> Any:
        return _plain(act(self._service, **asked))

    def _show(self, command: str, request: Request) -> dict[str, Any] | None:
        service = self._service
        match command:
            case "records":
                part, following = page(service.records.all, request)
                return {"entries": [each.to_json() for each in part], "next": following}
            case "deliveries":
                part, following = page(service.log.deliveries, request)
                return {"entries": part, "next": following}
            case "fates":
                return commands.fates(service)
            case "tokens":
                return {"tokens": list(service.log.tokens)}
            case "requests":
                return {"requests": list(service.log.requests)}
            case "faults":
                return {"faults": service.faults.written}
            case "state":
                return self._state()
        return None

    def _state(self) -> dict[str, Any]:
        service = self._service
        now = service.clock.now()
        return {
            "now": now,
            "rate": service.rate,
            "made": service.records.count,
            "pushed": service.log.pushed,
            "accepted": service.log.accepted,
            "settled": service.is_settled,
            "sessions": len(service.accounts.sessions),
            "streams": [
                {
                    "data_type": each.subscription.data_type,
                    "schema_name": each.subscription.schema_name,
                    "subscription_id": each.subscription.id,
                    "waiting": len(each.queue),
                    "dropped": len(each.dropped),
                    "in_flight": each.in_flight,
                }
                for each in service.streamings
            ],
            "jobs": [each.to_wire(service.options.group, now, service.faults) for each in service.jobs.all],
        }


def _plain(result: Any) -> Any:
    if isinstance(result, list):
        return [_plain(each) for each in result]
    return result.to_json() if isinstance(result, Record) else result


_COMMANDS: Mapping[str, Callable[..., Any]] = {
    "faults": lambda service, faults: service.set_faults(faults),
    "rate": lambda service, rate: commands.set_rate(service, float(rate)),
    "advance": lambda service, seconds: service.advance(float(seconds)),
    "call": commands.call,
    "audit": commands.audit,
    "voices": commands.voices,
    "history": commands.history,
    "send": commands.send,
    "vanish": commands.vanish,
    "foreign": commands.add_foreign,
    "foreign-job": commands.add_foreign_job,
    "expire-tokens": lambda service: service.accounts.expire_access(),
    "expire-jobs": commands.expire_jobs,
}
