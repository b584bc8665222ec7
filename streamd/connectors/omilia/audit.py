"""Compare each day with its export, and repair it: the only true test of completeness (section 3d).

What the stream brought is known by its ids, from memory and from evidence.py, so that what an export brings
beyond it was missed without a sign. That is published, and told as a gap that was found late.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from streamd.connector import Context, Link
from streamd.connectors.omilia.config import OmiliaConfig
from streamd.connectors.omilia.errand import Errand
from streamd.connectors.omilia.evidence import KEPT
from streamd.connectors.omilia.export import Exporter
from streamd.connectors.omilia.missing import message_type
from streamd.connectors.omilia.plan import HOUR, NOT_YET, types_of
from streamd.live.herald import Herald
from streamd.pull.ledger import Ledger
from streamd.pull.windows import Window

DAY = timedelta(days=1)
_NEXT = "next"


class Audit:
    """The daily audit of one connector; days are UTC, by the platform's clock."""

    def __init__(self, ctx: Context[OmiliaConfig], exporter: Exporter, heralds: Mapping[str, Herald]) -> None:
        self._ctx = ctx
        self._exporter = exporter
        self._heralds = heralds
        self._ledger = Ledger(ctx, "audit/", datetime)

    async def look(self, server_now: datetime) -> None:
        """Audit the next day, if it is over and can be exported. Raises Rejected."""
        if self._ctx.config.audit == "off":
            return
        today = server_now.replace(hour=0, minute=0, second=0, microsecond=0)
        day = self._ledger.get(_NEXT)
        if day is None:
            # The day of the first start was not seen whole.
            await self._ctx.append([], self._ledger.put(_NEXT, today + DAY))
            return
        oldest = today + DAY - KEPT
        if day < oldest:
            self._ctx.log.warning("audit_skipped", since=day.isoformat(), until=oldest.isoformat())
            day = oldest
        if server_now >= day + DAY + NOT_YET + HOUR:
            await self._compare(day)

    async def _compare(self, day: datetime) -> None:
        config = self._ctx.config
        types = types_of({message_type(each) for each in config.data_types}, config.export.types_style)
        rest = [Window(day, day + DAY)] if types else []
        errand = await self._exporter.run(Errand(f"audit-{day:%Y%m%d}", types, rest, len(rest)))
        self._ctx.log.info("audited", day=f"{day:%Y-%m-%d}", missed=errand.total, known=errand.known)
        for data_type, herald in self._heralds.items():
            count = errand.published.get(message_type(data_type), 0)
            if count:
                await self._tell(herald.link, data_type, day, count)
        changes = {**self._ledger.put(_NEXT, day + DAY), **self._exporter.ledger.remove(errand.name)}
        await self._ctx.append([], changes)

    async def _tell(self, link: Link, data_type: str, day: datetime, count: int) -> None:
        """Declare what nobody knew to be missing, healed already."""
        self._ctx.counters.count("audit_missed", count)
        self._ctx.log.error("audit_missed", day=f"{day:%Y-%m-%d}", data_type=data_type, count=count)
        gap_id = await link.declare_gap(
            cause="audit", since=day, until=day + DAY, events="pending", scope=[data_type], count=count
        )
        await link.settle_gap(gap_id, events="recovered", healed_by="backfill", count=count)
