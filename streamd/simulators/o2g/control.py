"""Steer and inspect the simulator from another process, under `/_simulator/` of any REST port.

O2G has no such paths: they are for benches and chaos tests. GET `truth`, `log?since=N&limit=N`,
`unheard?since=N&limit=N`, `state`, `requests`, `faults`; POST, with a JSON object whose members are the
arguments of the command: `faults {"faults": [...]}`, `rate {"rate": N}`, `drop {"mode"}`, `call {"caller",
"callee"}`, `answer {"ref"}`, `hold`, `retrieve`, `release {"ref", "by"}`, `transfer {"ref", "by", "to"}`,
`redirect {"ref", "to"}`, `confer {"ref", "third"}`, `agent {"login", "state", "reason"}`, `skill`, `routing`,
`play {"script", "who"}`, `link {"up", "kind"}`, `host {"number", "up"}`, `restart {}`, `expire {}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from streamd.errors import ConfigError
from streamd.simulators.http import Request, Response, ok
from streamd.simulators.o2g import commands
from streamd.simulators.o2g.service import Service
from streamd.simulators.o2g.subscriptions import UNREADABLE

_REFUSED = (ConfigError, *UNREADABLE, AttributeError, LookupError, TypeError, ValueError)


class Control:
    """The HTTP side of `commands`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def respond(self, request: Request) -> Response:
        """Answer `request`; a command that cannot be carried out is a 400 that says why."""
        command = request.path.removeprefix("/_simulator/")
        try:
            found = await self._carry_out(request, command)
        except _REFUSED as error:
            return ok({"error": f"{type(error).__name__}: {error}"}, 400)
        return Response(404) if found is None else ok(found)

    async def _carry_out(self, request: Request, command: str) -> dict[str, Any] | None:
        if request.method == "GET":
            return self._show(command, request)
        asked = msgspec.json.decode(request.body or b"{}")
        if command == "drop":
            return {"dropped": await commands.drop_channels(self._service, **asked)}
        if command == "play":
            commands.play(self._service, asked["script"], *asked["who"])
            return {}
        act = _COMMANDS.get(command)
        return None if act is None else {"result": act(self._service, **asked)}

    def _show(self, command: str, request: Request) -> dict[str, Any] | None:
        service = self._service
        match command:
            case "truth":
                return commands.truth(service)
            case "log" | "unheard":
                entries = service.log.entries if command == "log" else service.log.unheard
                since, limit = int(request.query.get("since", "0")), int(request.query.get("limit", "10000"))
                part = entries[since : since + limit]
                return {"entries": [each.to_json() for each in part], "next": since + len(part)}
            case "requests":
                return {"requests": list(service.requests)}
            case "faults":
                return {"faults": service.faults.written}
            case "state":
                return self._state()
        return None

    def _state(self) -> dict[str, Any]:
        service = self._service
        return {
            "rate": service.rate,
            "sent": service.log.count,
            "calls_started": service.stage.telephony.started,
            "linked": service.exchange.linked,
            "channels_opened": service.channels_opened,
            "channels": [
                {
                    "number": each.number,
                    "host": each.host.number,
                    "sent": each.sent,
                    "waiting_bytes": each.bytes,
                }
                for each in service.channels()
            ],
            "hosts": [
                {
                    "number": host.number,
                    "up": host.up,
                    "base_url": host.base_url,
                    "sessions": len(host.accounts.sessions),
                    "subscriptions": len(host.accounts.subscriptions),
                }
                for host in service.hosts
            ],
        }


_COMMANDS: Mapping[str, Callable[..., Any]] = {
    "faults": lambda service, faults: service.set_faults(faults),
    "rate": lambda service, rate: commands.set_rate(service, float(rate)),
    "call": commands.place_call,
    "answer": commands.answer,
    "hold": commands.hold,
    "retrieve": commands.retrieve,
    "release": commands.release,
    "transfer": commands.transfer,
    "redirect": commands.redirect,
    "confer": commands.confer,
    "agent": commands.set_agent,
    "skill": commands.set_skill,
    "routing": commands.set_routing,
    "link": commands.set_link,
    "host": lambda service, number, up: service.set_host(number, up=up),
    "restart": lambda service: service.restart(),
    "expire": lambda service: service.expire_sessions(),
}
