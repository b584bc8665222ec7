"""Ask again for what Omilia has refused as INTERFACE.md has it: slowly, and at once when an operator asks."""

from __future__ import annotations

from streamd.connector import Context
from streamd.connectors.omilia.config import OmiliaConfig
from streamd.session import refused_seconds


class Slowly:
    """The waits between tries of one thing that is refused: 5, 15, then every 60 minutes."""

    def __init__(self, ctx: Context[OmiliaConfig]) -> None:
        self._ctx = ctx
        self._refusals = 0

    async def wait(self) -> None:
        """Wait before the next try; one that an operator asks for begins anew."""
        seconds = refused_seconds(self._refusals)
        self._refusals = 0 if await self._ctx.wait_refused(seconds) else self._refusals + 1

    def reset(self) -> None:
        """Note that it is refused no longer."""
        self._refusals = 0
