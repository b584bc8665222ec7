"""Take an export that was downloaded into the spool: zip, rows, order, dedup, events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import trio
from msgspec import Struct

from streamd.connector import Changes, Context, Item
from streamd.connectors.huawei_aicc.normalise import Fact, Normaliser, events
from streamd.connectors.huawei_aicc.rows import RowReader, Shape, shape_of
from streamd.connectors.huawei_aicc.seen import Seen
from streamd.connectors.huawei_aicc.sorting import Sorter
from streamd.errors import BadRecord, Transient
from streamd.model import Phase
from streamd.pull.zips import Archive, Limits, Member, open_zip
from streamd.transport.lines import TooLong

BATCH_ROWS = 1000
_LONGEST_NAME = 80
_SORTED = ".rows"


class Figures(Struct):
    """What became of an export's rows. `known`: published before, and the same since.

    `left_out`: windows that are gaps.
    """

    published: int = 0
    known: int = 0
    unreadable: int = 0
    left_out: int = 0

    def add(self, other: Figures) -> None:
        """Count what became of another export's rows, too."""
        self.published += other.published
        self.known += other.known
        self.unreadable += other.unreadable
        self.left_out += other.left_out


class Export(Struct, frozen=True):
    """A zip on disk: what it is called, when it was asked for (by the server's clock), its events' phase."""

    path: Path
    name: str
    asked_at: datetime
    phase: Phase


class Intake:
    """Takes one export in. Appends are bounded, and `final` changes stand in the last one alone.

    `judging` is the connector's: what was seen is looked up and committed with no other export between.
    """

    def __init__(self, ctx: Context[Any], normaliser: Normaliser, export: Export, judging: trio.Lock) -> None:
        self._ctx = ctx
        self._judging = judging
        self._normaliser = normaliser
        self._export = export
        self._figures = Figures()
        self._zone_errors: Counter[timedelta] = Counter()

    async def run(self, max_bytes: int, final: Changes) -> Figures:
        """Commit what is new in it, then `final`.

        Raises Transient where the zip is broken or the disk is full, BadRecord where it is beyond a limit.
        """
        try:
            async with open_zip(self._export.path, Limits(inflated_bytes=max_bytes)) as archive:
                with Sorter(self._export.path.with_suffix(_SORTED)) as sorter:
                    for member in archive.members:
                        await self._sort(archive, member, sorter)
                    await self._publish(sorter, final)
        except OSError as error:
            raise Transient(f"state directory: {type(error).__name__} {error.errno}") from error
        self._tell_zone()
        return self._figures

    async def _sort(self, archive: Archive, member: Member, sorter: Sorter) -> None:
        origin = f"{self._export.name}: {member.name[:_LONGEST_NAME]}"
        shape = shape_of(member.name)
        if shape is None:
            beginning = await archive.pieces(member).receive()
            await self._bury([BadRecord("a member that is neither _call nor _record", beginning, origin)])
            return
        reader, lines, last = RowReader(shape, origin), archive.lines(member), False
        while not last:
            batch = await lines.receive()
            last = not batch
            await self._bury(await trio.to_thread.run_sync(_read, reader, batch, sorter, shape))

    async def _bury(self, bad: Sequence[BadRecord]) -> None:
        """Dead-letter what cannot be understood; each once, however often it is exported."""
        for at in range(0, len(bad), BATCH_ROWS):
            async with self._judging:
                seen = self._seen()
                letters = [self._ctx.dead_letter(each) for each in seen.bad_news(bad[at : at + BATCH_ROWS])]
                self._figures.unreadable += len(letters)
                if letters:
                    await self._ctx.append(letters, seen.changes)

    async def _publish(self, sorter: Sorter, final: Changes) -> None:
        batches = sorter.batches(BATCH_ROWS)
        facts = await trio.to_thread.run_sync(self._understand, batches)
        while facts:
            following = await trio.to_thread.run_sync(self._understand, batches)
            async with self._judging:
                items, changes = self._judge(facts)
                if not following:
                    await self._ctx.append(items, {**changes, **final})
                    return
                if items:
                    await self._ctx.append(items, changes)
            facts = following
        await self._ctx.append([], final)

    def _understand(self, batches: Iterator[Sequence[tuple[Shape, list[str]]]]) -> list[Fact]:
        return [self._normaliser.fact(shape, row) for shape, row in next(batches, ())]

    def _judge(self, facts: Sequence[Fact]) -> tuple[list[Item], Changes]:
        """Give the events of what is new, and the changes of the seen set."""
        seen, received, items = self._seen(), self._ctx.clock.now(), list[Item]()
        published = 0
        for fact, revision in seen.news(facts):
            published += 1
            items += events(fact, revision, received, self._export.phase)
        self._zone_errors.update(fact.zone_error for fact in facts if fact.zone_error is not None)
        self._figures.published += published
        self._figures.known += len(facts) - published
        return items, seen.changes

    def _seen(self) -> Seen:
        return Seen(self._ctx.states_of, self._export.asked_at)

    def _tell_zone(self) -> None:
        """Warn where more rows disagree by hours with their call ids than agree: a wrong `row_zone`."""
        for apart, count in self._zone_errors.most_common(1):
            if not apart:
                return
            minutes = round(apart / timedelta(minutes=1))
            self._ctx.counters.count("zone_doubts")
            self._ctx.log.warning("row_zone_doubtful", minutes_apart=minutes, rows=count)


def _read(
    reader: RowReader, lines: Sequence[bytes | TooLong], sorter: Sorter, shape: Shape
) -> list[BadRecord]:
    """Read lines, the last ones where there are none, into the sorter; give what is no row. In a thread."""
    bad = []
    for row in reader.read(lines, last=not lines):
        if isinstance(row, BadRecord):
            bad.append(row)
        else:
            sorter.add(shape, row)
    return bad
