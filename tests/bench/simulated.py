"""Run the simulated platform of a vendor in a process of its own.

    python -m tests.bench.simulated VENDOR SETTINGS

SETTINGS is JSON: `options` of the simulator, `connector` and `ingress` with the keys (TOML values) of the
tables that lead a daemon to it. The first line says `{"tables": TOML, "name": …}`. A line on stdin names what
to `call`, with `arguments`, or what to `count`; both are answered with `{"result": N or null}`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio

from streamd.simulators.huawei_aicc import HuaweiOptions, open_huawei_simulator
from streamd.simulators.omilia import OmiliaOptions, open_omilia_simulator
from streamd.simulators.oracle_isr import OracleIsrOptions, open_oracle_isr_simulator

NAME = "bench"
_VENDORS: Mapping[str, tuple[Callable[..., Any], Callable[[Any], AbstractAsyncContextManager[Any]]]] = {
    "omilia": (OmiliaOptions, open_omilia_simulator),
    "huawei_aicc": (HuaweiOptions, open_huawei_simulator),
    "oracle_isr": (OracleIsrOptions, open_oracle_isr_simulator),
}


async def serve(vendor: str, settings: Mapping[str, Any]) -> None:
    """Serve until stdin ends."""
    make_options, open_simulator = _VENDORS[vendor]
    options = {**settings.get("options", {})}
    options["faults"] = frozenset(options.get("faults", ()))
    async with open_simulator(make_options(**options)) as simulator:
        tables = simulator.ingress_table(**settings.get("ingress", {}))
        tables += simulator.connector_table(NAME, **settings.get("connector", {}))
        _say(tables=tables, port=simulator.ingress_port)
        while line := await trio.to_thread.run_sync(sys.stdin.readline):
            _say(result=_obey(simulator, json.loads(line)))


def _obey(simulator: Any, asked: Mapping[str, Any]) -> int | None:
    if "count" in asked:
        return len(getattr(simulator, asked["count"]))
    getattr(simulator, asked["call"])(**asked.get("arguments", {}))
    return None


def _say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    trio.run(serve, sys.argv[1], json.loads(sys.argv[2]))
