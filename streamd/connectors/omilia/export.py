"""Carry out batch exports: one slice after the other, one job at a time, page by page into the records.

Source: vendors/omilia.md section 4. Each step moves the errand in the keyed state, in one commit with what it
published, so that a restart goes on at the same page of the same job.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from pathlib import Path

import trio
from msgspec.structs import replace

from streamd.connector import Changes, Context
from streamd.connectors.omilia.answers import CONFLICT, Gone, Job, Unaccepted
from streamd.connectors.omilia.config import OmiliaConfig, audit_type
from streamd.connectors.omilia.errand import NO_JOB, Errand
from streamd.connectors.omilia.jobs import EXPIRED, READY, standing
from streamd.connectors.omilia.members import is_audio, records_of
from streamd.connectors.omilia.plan import KEPT, name_of, stem_of
from streamd.connectors.omilia.records import Records
from streamd.connectors.omilia.rest import Exports
from streamd.errors import BadRecord, Transient
from streamd.pull.ledger import Ledger
from streamd.pull.zips import Limits, open_zip
from streamd.session import Backoff

PAGE_SIZE = 50
"""Files in a zip: the most there may be, and the same for a whole job."""
AT_ONCE = 1000
"""Records that are appended together."""
POLL_GROWTH, LONGEST_POLL = 1.3, 4
"""Polls come 1.3 times as far apart each time, up to four times `poll_seconds` (section 6: 15 s to 60 s)."""
TRIES, MOST_EXPORTS = 5, 3
"""How often a page is fetched that cannot be read, before another export is asked for, and how many of those,
before the page is left out."""
LIMITS = Limits()
ORIGIN = "batch export"
Progress = Callable[[float, str], None]


class Exporter:
    """Carries out errands, one at a time: the platform runs one export for the group."""

    def __init__(self, ctx: Context[OmiliaConfig], exports: Exports, records: Records) -> None:
        self.ledger = Ledger(ctx, "errand/", Errand)
        self._ctx = ctx
        self._exports = exports
        self._records = records
        self._file = ctx.directory() / "export.zip"
        self._one = trio.Lock()
        self._spoilt = 0
        self._polls = 0
        self._undelivered_since: float | None = None

    async def run(self, errand: Errand, progress: Progress = lambda done, words: None) -> Errand:
        """Carry out an errand, from where the ledger has it, and give it as it is in the end.

        It stays in the ledger until its owner removes it. Waits through what is transient; raises Rejected.
        """
        async with self._one:
            errand = self._stored(errand)
            backoff = Backoff(self._ctx.config.retry_min_seconds, self._ctx.config.retry_max_seconds)
            while errand.rest:
                progress(errand.done, errand.words)
                try:
                    errand = await self._step(errand)
                except Transient as error:
                    errand = self._stored(errand)
                    self._ctx.log.info("export_delayed", errand=errand.name, reason=error.reason)
                    await trio.sleep(max(backoff.next(), error.retry_after or 0.0))
                else:
                    backoff.reset()
            progress(1.0, errand.words)
        return errand

    async def _step(self, errand: Errand) -> Errand:
        """Do what is next, and commit it."""
        if errand.job is None:
            return await self._take_up(errand)
        if errand.ready_at is not None and self._ctx.clock.now() - errand.ready_at > KEPT:
            return await self._give_up(errand, "about to expire")
        try:
            if errand.ready_at is None:
                return await self._poll(errand, errand.job)
            if errand.pages is None:
                files = (await self._exports.metadata(errand.job)).num_of_files
                return await self._move(errand, pages=math.ceil(files / PAGE_SIZE))
            if errand.page > errand.pages:
                return await self._move(errand, **NO_JOB, given_up=0, rest=errand.rest[1:])
            return await self._take_page(errand, errand.job)
        except Gone:
            return await self._give_up(errand, "gone")

    # -- the job

    async def _take_up(self, errand: Errand) -> Errand:
        """Find the slice's export, from before a restart or a lost answer, or ask for it."""
        stem = stem_of(errand.name, errand.rest[0])
        found = standing(await self._exports.jobs(), stem, errand.given_up)
        if found.job is not None:
            return await self._began(errand, found.job.export_id, found.attempt)
        window = errand.rest[0]
        name = name_of(stem, found.attempt)
        try:
            job = await self._exports.submit(name, window.begin, window.end, errand.types)
        except Unaccepted as error:
            if found.busy is None and error.status != CONFLICT:
                raise
            # Another party's export, or one that we gave up, has the group's only place: wait for its end.
            if not self._polls:
                self._ctx.log.info("export_waits", errand=errand.name, busy=found.busy)
            self._ctx.counters.count("exports_waited")
            await self._pause()
            return errand
        self._ctx.counters.count("exports_created")
        self._ctx.log.info("export_created", errand=errand.name, name=name)
        return await self._began(errand, job, found.attempt)

    async def _began(self, errand: Errand, job: str, attempt: int) -> Errand:
        self._polls = self._spoilt = 0
        self._undelivered_since = None
        return await self._move(errand, job=job, attempt=attempt, submitted_at=self._ctx.clock.now())

    async def _poll(self, errand: Errand, identifier: str) -> Errand:
        """Look at the list, which alone tells a job's status; wait if it is not READY."""
        job = await self._find(identifier)
        if job is not None and job.status == READY:
            return await self._move(errand, ready_at=self._ctx.clock.now())
        assert errand.submitted_at is not None, "it was asked for"
        waited = self._ctx.clock.now() - errand.submitted_at
        if waited > timedelta(seconds=self._ctx.config.export.deadline_seconds):
            return await self._give_up(
                errand, f"not ready by its deadline: {job.status if job else 'unlisted'}"
            )
        if job is not None and job.status == EXPIRED:
            return await self._give_up(errand, "expired")
        await self._pause()
        return errand

    async def _find(self, identifier: str) -> Job | None:
        jobs = await self._exports.jobs(until=identifier)
        return next((job for job in jobs if job.export_id == identifier), None)

    async def _pause(self) -> None:
        seconds = self._ctx.config.export.poll_seconds
        await trio.sleep(min(seconds * POLL_GROWTH**self._polls, seconds * LONGEST_POLL))
        self._polls = min(self._polls + 1, 16)

    async def _give_up(self, errand: Errand, why: str) -> Errand:
        """Let another export take this one's place; what was published of it is known by its ids."""
        self._ctx.counters.count("exports_given_up")
        self._ctx.log.warning("export_given_up", errand=errand.name, reason=why)
        return await self._move(errand, **NO_JOB, given_up=errand.attempt)

    # -- its pages

    async def _take_page(self, errand: Errand, job: str) -> Errand:
        """Fetch a page, verify it, and publish what is missing of it."""
        delivered = False
        try:
            answer = await self._exports.fetch_zip(job, errand.page, PAGE_SIZE, self._file)
            delivered = True
            errand = replace(errand, pages=max(errand.pages or 0, _pages_told(answer.headers)))
            taken = await self._take_zip(errand, answer.path)
        except Transient:
            errand = self._stored(errand)
            if not delivered and not self._overdue():
                raise  # a pace, a gateway, a network: no word of what the page holds
            self._spoilt += 1
            if self._spoilt < TRIES:
                raise
            if errand.attempt < MOST_EXPORTS:
                return await self._give_up(errand, f"page {errand.page} cannot be had")
            bad = BadRecord(f"page {errand.page} cannot be had", b"", ORIGIN)
            taken = await self._move(await self._leave_out(errand, bad), page=errand.page + 1)
        finally:
            self._file.unlink(missing_ok=True)
        self._spoilt, self._undelivered_since = 0, None
        return taken

    def _overdue(self) -> bool:
        """Tell whether the page was not delivered for as long as an export may take."""
        now = self._ctx.clock.monotonic()
        if self._undelivered_since is None:
            self._undelivered_since = now
        return now - self._undelivered_since > self._ctx.config.export.deadline_seconds

    async def _take_zip(self, errand: Errand, path: Path) -> Errand:
        try:
            async with open_zip(path, LIMITS) as archive:
                if not archive.members:
                    raise Transient("an empty zip, although the export has files")
                for member in archive.members:
                    if is_audio(member):
                        self._ctx.counters.count("audio_skipped")
                        continue
                    try:
                        async with aclosing(records_of(archive, member, LIMITS)) as found:
                            async for records in found:
                                errand = await self._publish(errand, records)
                    except BadRecord as bad:
                        errand = await self._leave_out(errand, bad)
        except BadRecord as bad:
            errand = await self._leave_out(errand, bad)
        return await self._move(errand, page=errand.page + 1)

    async def _publish(self, errand: Errand, records: list[bytes]) -> Errand:
        unnamed = audit_type(self._ctx.config.data_types) if audit_type(errand.types) else None
        for begin in range(0, len(records), AT_ONCE):
            part = records[begin : begin + AT_ONCE]
            outcome = await self._records.accept(
                part,
                origin=ORIGIN,
                received=self._ctx.clock.now(),
                phase="backfill",
                unnamed=unnamed,
                note=partial(self._note, errand),
            )
            errand = replace(
                errand,
                published=_summed(errand.published, outcome.by_type),
                known=errand.known + outcome.repeated,
                bad=errand.bad + outcome.bad,
            )
        return errand

    def _note(self, errand: Errand, published: Mapping[str, int]) -> Changes:
        """Count what is published in the commit that publishes it: read again, it is known already."""
        stored = self._stored(errand)
        return self.ledger.put(errand.name, replace(stored, published=_summed(stored.published, published)))

    async def _leave_out(self, errand: Errand, bad: BadRecord) -> Errand:
        """Dead-letter a file that cannot be read: what it held stays missing."""
        self._ctx.log.error("export_unreadable", errand=errand.name, origin=bad.origin, reason=bad.reason)
        await self._ctx.append([self._ctx.dead_letter(bad)])
        return replace(errand, unread=errand.unread + 1)

    # -- the ledger

    def _stored(self, errand: Errand) -> Errand:
        """Give an errand as far as it is committed."""
        return self.ledger.get(errand.name) or errand

    async def _move(self, errand: Errand, **changes: object) -> Errand:
        moved = replace(errand, **changes)
        await self._ctx.append([], self.ledger.put(errand.name, moved))
        return moved


def _pages_told(headers: Mapping[str, str]) -> int:
    """Give how many pages the export has by its own word, 0 where it says nothing."""
    told = headers.get("pagination-pages", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 10 else 0


def _summed(before: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {kind: before.get(kind, 0) + more.get(kind, 0) for kind in {*before, *more}}
