"""Steer and inspect the simulator from another process, under `/_simulator/`.

CC-FS has no such paths: they are for benches and chaos tests. GET `calls`, `exports`, `callbacks` (each with
`?since=N&limit=N`), `requests`, `jobs`, `truth`, `handed`, `faults`, `state`; POST, with a JSON object whose
members are the arguments of the command: `faults {"faults": [...]}`, `rate {"rate": N}`, `advance
{"seconds": N}`, `call {"ago", "legs", "answered", "recorded", "account_id", "cc_id"}`, `begin-call {…}`
(without `ago`), `history {"hours", "calls"}`, `bulk {"rows", "ago"}`, `change {"number": N}` (of a row),
`unlock {}`, `expire-files {}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from streamd.simulators.http import Request, Response
from streamd.simulators.huawei_aicc import commands
from streamd.simulators.huawei_aicc.bulk import Bulk
from streamd.simulators.huawei_aicc.calls import Call
from streamd.simulators.huawei_aicc.jobs import describe
from streamd.simulators.huawei_aicc.records import Identity
from streamd.simulators.huawei_aicc.service import Service
from streamd.simulators.huawei_aicc.zips import row_zone
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
        return _plain(self._service, act(self._service, **asked))

    def _show(self, command: str, request: Request) -> dict[str, Any] | None:
        service = self._service
        match command:
            case "calls":
                part, following = page(service.made, request)
                return {"entries": _plain(service, part), "next": following}
            case "exports" | "callbacks":
                part, following = page(getattr(service.log, command), request)
                return {"entries": part, "next": following}
            case "requests":
                return {"requests": list(service.log.requests)}
            case "jobs":
                return {"jobs": [describe(each) for each in service.jobs.all]}
            case "truth":
                return {"rows": _listed(commands.truth(service))}
            case "handed":
                return {"rows": _listed(commands.handed(service))}
            case "faults":
                return {"faults": service.faults.written}
            case "state":
                return self._state()
        return None

    def _state(self) -> dict[str, Any]:
        service = self._service
        return {
            "now": service.clock.now(),
            "rate": service.rate,
            "calls": len(service.made),
            "rows": service.rows.count,
            "jobs": len(service.jobs.all),
            "exports": len(service.log.exports),
            "settled": service.is_settled,
        }


def _listed(rows: Mapping[Identity, Any]) -> list[dict[str, Any]]:
    return [{"identity": identity, "columns": columns} for identity, columns in rows.items()]


def _plain(service: Service, result: Any) -> Any:
    if isinstance(result, list):
        return [_plain(service, each) for each in result]
    if isinstance(result, Bulk):
        return {"rows": result.rows, "begin": result.begin}
    return _call(service, result) if isinstance(result, Call) else result


def _call(service: Service, call: Call) -> dict[str, Any]:
    zone = row_zone(service.faults, service.zone)
    rows = [
        {
            "number": row.number,
            "kind": row.kind,
            "versions": [
                {
                    "visible_at": version.visible_at,
                    "exported": version.exported,
                    "columns": row.spelt(version, zone),
                }
                for version in row.versions
            ],
        }
        for row in call.rows
    ]
    return {"call_id": call.call_id, "cc_id": call.cc_id, "begin": call.begin, "end": call.end, "rows": rows}


_COMMANDS: Mapping[str, Callable[..., Any]] = {
    "faults": lambda service, faults: service.set_faults(faults),
    "rate": lambda service, rate: commands.set_rate(service, float(rate)),
    "advance": lambda service, seconds: service.advance(float(seconds)),
    "call": commands.call,
    "begin-call": commands.begin_call,
    "history": commands.history,
    "bulk": commands.bulk,
    "change": lambda service, number: commands.change(service, service.rows.all[number]),
    "unlock": lambda service: service.gatekeeper.unlock(),
    "expire-files": commands.expire_files,
}
