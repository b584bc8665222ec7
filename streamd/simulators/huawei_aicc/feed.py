"""Let people call by themselves."""

from __future__ import annotations

import math

import trio

from streamd.simulators.huawei_aicc import commands
from streamd.simulators.huawei_aicc.service import Service

_TICK = 0.01  # seconds; at a high rate what falls into one tick is made at once
_CATCH_UP = 1.0  # seconds: a process that was stopped does not make up for more


class Feed:
    """Calls that begin now and are written as they go on, or have just ended."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def run(self) -> None:
        """Let calls happen for `service.rate` rows a real second, until cancelled."""
        happen = commands.call if self._service.options.whole_calls else commands.begin_call
        owed, last = 0.0, trio.current_time()
        while True:
            rate = self._service.rate
            with trio.move_on_after(max(_TICK, (1.0 - owed) / rate) if rate > 0 else math.inf):
                await self._service.changed.park()
            now = trio.current_time()
            owed = min(owed + (now - last) * rate, max(1.0, rate * _CATCH_UP)) if rate > 0 else 0.0
            last = now
            while owed >= 1:
                owed -= len(happen(self._service).rows)
