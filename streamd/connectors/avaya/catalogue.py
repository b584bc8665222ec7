"""Keep what Avaya's catalogue says of our producers; streaming never depends on it (contract, 1.2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import trio

from streamd.connector import Context
from streamd.connectors.avaya.account import Account
from streamd.connectors.avaya.config import AvayaConfig
from streamd.connectors.avaya.flow import Flow
from streamd.connectors.avaya.measure_types import Typing
from streamd.errors import StreamdError

RETRY_SECONDS = 300.0
PATIENCE_SECONDS = 2.0


class Catalogue:
    """The catalogue of one account, read for each producer at the start and daily from then on."""

    def __init__(self, ctx: Context[AvayaConfig], account: Account) -> None:
        self._ctx = ctx
        self._account = account
        self._due_at: dict[str, float] = {}
        self._asked: defaultdict[str, trio.Event] = defaultdict(trio.Event)

    async def first(self, producer: str) -> None:
        """Wait until the producer's types were asked for, so that its first snapshot is typed; not for long,
        and only once."""
        asked = self._asked[producer]
        with trio.move_on_after(PATIENCE_SECONDS):
            await asked.wait()
        asked.set()

    async def keep(self, flow: Flow, producer: str) -> None:
        """Read the producer's types, and again and again, sooner after a failure."""
        while True:
            due_at = self._due_at.get(producer, 0.0)
            await trio.sleep(max(0.0, due_at - self._ctx.clock.monotonic()))
            await self._read(flow, producer)
            self._asked[producer].set()

    async def unknown(self, producers: Iterable[str]) -> list[str]:
        """Say which producers the catalogue lacks, and what it has instead; nothing when it is mute."""
        try:
            known = await self._account.producer_ids()
        except StreamdError as error:
            self._ctx.log.info("catalogue_unavailable", reason=str(error))
            return []
        return [_unknown(producer, known) for producer in producers if known and producer not in known]

    async def _read(self, flow: Flow, producer: str) -> None:
        wait = RETRY_SECONDS
        try:
            entry = await self._account.producer(producer)
        except StreamdError as error:
            self._ctx.counters.count("catalogue_failures")
            self._ctx.log.info("catalogue_unavailable", producer=producer, reason=str(error))
        else:
            wait = self._ctx.config.catalogue_hours * 3600.0
            if entry is not None:
                flow.typing = Typing(entry.measure_sets)
            else:
                for message in await self.unknown([producer]):
                    self._ctx.log.warning("producer_not_in_catalogue", reason=message)
        self._due_at[producer] = self._ctx.clock.monotonic() + wait


def _unknown(producer: str, known: list[str]) -> str:
    alike = [each for each in known if each.lower() == producer.lower()]
    return f"{producer} is not in the catalogue, which has {', '.join(alike or known[:20])}"
