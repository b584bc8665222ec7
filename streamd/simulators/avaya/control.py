"""Steer and inspect the simulator from another process, under `/_simulator/`.

No vendor has these paths: they are for benches and chaos tests. GET `truth`, `log?since=N&limit=N`, `state`,
`requests`, `faults`; POST, with a JSON object: `faults {"faults": [...]}`, `rate {"rate": N}`,
`drop {"mode": "fin" | "rst" | "close:CODE", "producer": optional}`, `remove-keys` and `add-keys`
`{"count": N, "producer": optional, "silent": optional}`, `upsert {"producer", "keys", "measures"}`,
`delete {"producer", "keys"}`, `expire-tokens {}`.
"""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from streamd.errors import ConfigError
from streamd.simulators.avaya import commands
from streamd.simulators.avaya.service import Service
from streamd.simulators.avaya.validation import UNREADABLE
from streamd.simulators.http import Request, Response, ok

_REFUSED = (ConfigError, *UNREADABLE, AttributeError, KeyError, TypeError, ValueError)


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

    async def _carry_out(self, request: Request, command: str) -> Any:
        service = self._service
        if request.method == "GET":
            return self._show(command, request)
        asked = msgspec.json.decode(request.body or b"{}")
        match command:
            case "faults":
                service.set_faults(asked["faults"])
                return {"faults": service.faults.written}
            case "rate":
                commands.set_rate(service, float(asked["rate"]))
                return {"rate": service.rate}
            case "drop":
                return {"dropped": await commands.drop_sockets(service, **asked)}
            case "remove-keys":
                return {"removed": [_row(key) for key in commands.remove_keys(service, **asked)]}
            case "add-keys":
                return {"added": [_row(key) for key in commands.add_keys(service, **asked)]}
            case "upsert":
                commands.upsert(service, **asked)
                return {}
            case "delete":
                return {"deleted": commands.delete(service, **asked)}
            case "expire-tokens":
                commands.expire_tokens(service)
                return {}
        return None

    def _show(self, command: str, request: Request) -> Any:
        service = self._service
        match command:
            case "truth":
                return [{**_row(key), "measures": value} for key, value in service.table.truth().items()]
            case "log":
                since, limit = int(request.query.get("since", "0")), int(request.query.get("limit", "100000"))
                entries = service.log.entries[since : since + limit]
                return {"entries": entries, "next": since + len(entries)}
            case "requests":
                return list(service.requests)
            case "faults":
                return {"faults": service.faults.written}
            case "state":
                return self._state()
        return None

    def _state(self) -> dict[str, Any]:
        service, now = self._service, trio.current_time()
        return {
            "rate": service.rate,
            "sent": service.log.count,
            "sockets_opened": service.sockets_opened,
            "sockets": [
                {
                    "number": each.number,
                    "phase": each.phase.value,
                    "subscription": each.subscription.id if each.subscription else None,
                    "producer": each.subscription.producer if each.subscription else None,
                    "sent": each.sent,
                    "waiting_bytes": each.outgoing.bytes,
                }
                for each in service.sessions
            ],
            "subscriptions": [
                {"id": each.id, "producer": each.producer, "status": each.status(now)}
                for each in service.subscriptions.values()
            ],
        }


def _row(key: Any) -> dict[str, Any]:
    account, source, producer, keys = key
    return {"account": account, "event_source": source, "producer": producer, "keys": dict(keys)}
