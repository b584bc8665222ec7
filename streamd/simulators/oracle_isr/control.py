"""Steer and inspect the simulator from another process, under `/_simulator/` of its port.

A recorder has no such paths: they are for benches and chaos tests. GET `recordings?since=N&limit=N`,
`replies?since=N&limit=N`, `notifications?since=N&limit=N`, `logins`, `faults`, `state`; POST, with a JSON
object whose members are the arguments of the command: `faults {"faults": [...]}`, `rate {"rate": N}`,
`advance {"seconds": N}`, `call {}`, `start {...}`, `recorded {"seconds", "ended_ago", ...}`, `history
{"hours", "calls"}`, `pause`, `resume`, `split`, `end {"number", "gap"}`, `finish`, `archive`, `change
{"number", "custom", "agent_id"}`, `delete`, `remove` (of the recording with that `number`), `notify {"event",
"ucid"}`, `notify-to {"url"}`, `expire-tokens {}`, `unlock {}`, `password {"password"}`, `reset {"requests"}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from streamd.simulators.http import Request, Response
from streamd.simulators.oracle_isr import commands
from streamd.simulators.oracle_isr.recordings import Recording
from streamd.simulators.oracle_isr.service import Service
from streamd.simulators.steering import Act, page, respond


class Control:
    """The HTTP side of `commands`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._acts = {name: partial(self._carry_out, act) for name, act in _COMMANDS.items()}

    def respond(self, request: Request) -> Response:
        """Answer `request`; a command that cannot be carried out is a 400 that says why."""
        self._service.schedule.run_due()
        return respond(request, self._show, self._acts)

    def _carry_out(self, act: Act, /, **asked: Any) -> Any:
        return _plain(act(self._service, **asked))

    def _show(self, command: str, request: Request) -> Mapping[str, Any] | None:
        service = self._service
        match command:
            case "recordings":
                part, following = page(service.recordings.all, request)
                return {"entries": _plain(part), "next": following}
            case "replies":
                part, following = page(service.log.replies, request)
                return {"entries": part, "next": following}
            case "notifications":
                part, following = page(service.log.notifications, request)
                return {"entries": part, "next": following}
            case "logins":
                return {"logins": service.log.logins}
            case "faults":
                return {"faults": service.faults.written}
            case "state":
                return commands.state(service)
        return None


def _plain(result: Any) -> Any:
    if isinstance(result, list):
        return [_plain(each) for each in result]
    return result.to_json() if isinstance(result, Recording) else result


def _act(name: str, service: Service, number: int, **more: Any) -> Recording:
    return commands.act(service, name, service.recordings.all[number], **more)


def _set_url(service: Service, url: str) -> None:
    service.notifier.url = url


def _set_password(service: Service, password: str) -> None:
    service.accounts.password = password


def _unlock(service: Service) -> None:
    service.accounts.wrong = 0


def _reset(service: Service, requests: int) -> None:
    service.to_reset = requests


_COMMANDS: Mapping[str, Callable[..., Any]] = {
    "faults": lambda service, faults: service.set_faults(faults),
    "rate": lambda service, rate: commands.set_rate(service, float(rate)),
    "advance": lambda service, seconds: service.advance(float(seconds)),
    "call": commands.call,
    "start": commands.start,
    "recorded": commands.recorded,
    "history": commands.history,
    "notify": commands.notify,
    "notify-to": _set_url,
    "expire-tokens": lambda service: service.accounts.expire(),
    "unlock": _unlock,
    "password": _set_password,
    "reset": _reset,
    **{
        name: partial(_act, name)
        for name in ("pause", "resume", "split", "end", "finish", "archive", "change", "delete", "remove")
    },
}
