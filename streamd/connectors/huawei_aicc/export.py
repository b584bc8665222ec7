"""Bring one export to its end, from whatever stage it is in (vendors/huawei_aicc.md, section 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, timedelta
from pathlib import Path

import trio
from msgspec import Struct
from msgspec.structs import replace

from streamd.connector import Changes, Context
from streamd.connectors.huawei_aicc.codes import Action
from streamd.connectors.huawei_aicc.config import HuaweiConfig, callback_path, zone_of
from streamd.connectors.huawei_aicc.intake import Export, Figures, Intake
from streamd.connectors.huawei_aicc.jobs import Job, Jobs, Kind, planned_anew
from streamd.connectors.huawei_aicc.normalise import Normaliser
from streamd.connectors.huawei_aicc.rest import CcFs, Declined, Priority
from streamd.connectors.huawei_aicc.wire import neighbours, predicted_names
from streamd.connectors.huawei_aicc.zones import ask, is_repeated
from streamd.errors import BadRecord, ProtocolViolation, Rejected, StreamdError, Transient
from streamd.privacy import Privacy

NOWHERE = "https://streamd.invalid/"
"""callBackURL where no callback is wanted: the field is mandatory, and this name leads nowhere (RFC 2606)."""
_PULLED_BACK = (
    timedelta(0),
    timedelta(seconds=5),  # the race of a second at the end
    timedelta(minutes=1),
    timedelta(minutes=15),
    timedelta(hours=1),
)
_BROKEN_ZIPS = 3  # of one file, before it is exported again
_NEIGHBOURS_EACH = 4  # polls: the days beside the likeliest are tried

Final = Callable[[Job], Changes]
"""Give what is committed with the last of a job's events."""
_PRIORITIES: Mapping[Kind, Priority] = {
    "live": Priority.LIVE,
    "deep": Priority.DEEP,
    "backfill": Priority.BACKFILL,
}


class TooLong(StreamdError):
    """The window is longer than the server takes, or its zip is larger than we do: ask for less."""

    def __init__(self, job: Job, bad: BadRecord | None = None) -> None:
        super().__init__("a window that is too long")
        self.job = job
        self.bad = bad


class NeverCame(StreamdError):
    """There is no file of the window after `job_seconds`: it was lost, or there is nothing to be in it."""

    def __init__(self, job: Job) -> None:
        super().__init__("no file")
        self.job = job


class TooEarly(Transient):
    """The window's end is still to come: the server takes it for its second reading, or its clock went back
    since it was planned. Plan anew."""


class Done(Struct, frozen=True):
    """A job at its end, as it was at last, and what became of its rows."""

    job: Job
    figures: Figures


class Exporter:
    """Does the jobs of one connector; `directory` is where their zips are."""

    def __init__(self, ctx: Context[HuaweiConfig], cc: CcFs, jobs: Jobs, directory: Path) -> None:
        config = ctx.config
        zone, row_zone = zone_of(config.request_zone), zone_of(config.row_zone or config.request_zone)
        assert zone is not None
        assert row_zone is not None
        self._ctx = ctx
        self.judging = trio.Lock()
        """Held by whoever looks something up in the seen set and commits what follows from it."""
        self._cc = cc
        self._jobs = jobs
        self._directory = directory
        self._zone = zone
        self._normaliser = Normaliser(row_zone, Privacy(config.privacy), config.access_key.reveal())

    async def finish(self, kind: Kind, job: Job, final: Final) -> Done:
        """Ask, wait, download and take in; returns when the last of it is committed with `final`.

        Raises TooLong, NeverCame and TooEarly, with nothing of the window committed by `final`; Transient and
        Rejected, with the job in the ledger as far as it came.
        """
        broken = 0
        while True:
            try:
                match job.stage:
                    case "planned":
                        job = await self._request(kind, job)
                    case "requested" | "announced":
                        job = await self._download(kind, job)
                    case "downloaded":
                        return await self._take_in(kind, job, final)
                    case "empty":
                        await self._ctx.append([], {**final(job), **self._jobs.removal(kind)})
                        return Done(job, Figures())
            except Declined as declined:
                if declined.action is Action.EMPTY:
                    job = replace(job, stage="empty")
                    continue
                if declined.action is Action.SHRINK:
                    raise TooLong(job) from declined
                raise ProtocolViolation(f"an answer to something else: {declined}") from declined
            except _BrokenZip as error:
                broken += 1
                self._ctx.counters.count("broken_zips")
                if broken % _BROKEN_ZIPS == 0:
                    self._ctx.counters.count("jobs_again")
                    await self._jobs.move(kind, planned_anew(job))
                    raise Transient(error.reason) from error
                job = await self._jobs.move(kind, replace(job, stage="announced", sha256=None))

    # -- the stages

    async def _request(self, kind: Kind, job: Job) -> Job:
        """Have the window exported. Where its end is later than the server's now, ask for a little less."""
        config = self._ctx.config
        for pull_back in _PULLED_BACK:
            asked = ask(job.begin, job.end - pull_back, self._zone, within_repeated=not pull_back)
            if pull_back and asked.covered <= job.begin:
                break
            asked_at, server_at = self._ctx.clock.now(), self._cc.clock.now()
            try:
                response_id = await self._cc.query(asked, self._callback_url(), _PRIORITIES[kind])
            except Declined as declined:
                if declined.action is Action.EMPTY:  # what was asked for, and no more
                    return replace(job, stage="empty", watermark=min(job.watermark, asked.covered))
                if declined.action is not Action.AHEAD:
                    raise
                self._ctx.counters.count("ends_pulled_back")
                self._ctx.log.warning("window_ahead_of_server", end=asked.end, zone=config.request_zone)
                continue
            requested = replace(
                job,
                stage="requested",
                watermark=min(job.watermark, asked.covered),
                response_id=response_id,
                asked_at=asked_at,
                server_at=server_at or asked_at,
                name=None,
            )
            return await self._jobs.move(kind, requested)
        if is_repeated(job.end, self._zone) or self._cc.server_now() < job.end:
            raise TooEarly(f"{job.end.isoformat()} is still to come, or once more")
        raise Rejected(f"windows end later than the server's now: is {config.request_zone} its time zone?")

    async def _download(self, kind: Kind, job: Job) -> Job:
        """Wait for the callback, or find the file by its name. Raises NeverCame at the deadline."""
        assert job.asked_at is not None
        config = self._ctx.config
        age = (self._ctx.clock.now() - job.asked_at).total_seconds()
        deadline = trio.current_time() + min(max(config.job_seconds - age, 0.0), config.job_seconds)
        event = self._jobs.expect(kind, job)
        try:
            job = await self._await_callback(kind, job, event)
            polls = 0
            while True:
                job = self._jobs.get(kind) or job
                if job.stage == "empty":
                    return job
                found = await self._try_names(kind, job, polls)
                if found is not None:
                    if config.callback and found.stage == "requested":
                        self._ctx.counters.count("callbacks_missed")
                    return await self._jobs.move(kind, replace(found, stage="downloaded"))
                if trio.current_time() >= deadline:
                    self._ctx.counters.count("jobs_again")
                    self._ctx.log.warning("export_never_came", kind=kind, begin=job.begin.isoformat())
                    raise NeverCame(job)
                polls += 1
                with trio.move_on_after(config.poll_seconds):
                    if job.stage == "announced":
                        await trio.sleep_forever()
                    await event.wait()
        finally:
            self._jobs.forget(job)

    async def _await_callback(self, kind: Kind, job: Job, event: trio.Event) -> Job:
        """Wait for the callback for a while, unless none comes; then, or before, files are asked for."""
        early = self._jobs.heard_early(job)
        if early is not job:
            return await self._jobs.move(kind, early)
        if job.stage == "requested":
            config = self._ctx.config
            with trio.move_on_after(config.callback_wait_seconds if config.callback else config.poll_seconds):
                await event.wait()
        return job

    async def _try_names(self, kind: Kind, job: Job, polls: int) -> Job | None:
        """Ask for the file by its name, or by those that it may have; None: it is not there yet."""
        for name in self._names(job, polls):
            try:
                found = await self._cc.fetch(name, self._path(kind), _PRIORITIES[kind])
            except Declined as declined:
                if declined.action is not Action.ABSENT:
                    raise
                continue
            return replace(job, name=name, sha256=found.sha256)
        return None

    async def _take_in(self, kind: Kind, job: Job, final: Final) -> Done:
        assert job.name is not None
        assert job.asked_at is not None
        path = self._path(kind)
        # By the server's clock: after ours was put back, what is new would look older than what is known.
        asked_at = job.server_at or job.asked_at
        export = Export(path, job.name, asked_at, "live" if job.newest else "backfill")
        changes = {**final(job), **self._jobs.removal(kind)}
        try:
            figures = await Intake(self._ctx, self._normaliser, export, self.judging).run(
                self._ctx.config.max_inflated_bytes, changes
            )
        except BadRecord as bad:
            raise TooLong(job, bad) from bad
        except Transient as error:
            raise _BrokenZip(error.reason) from error
        path.unlink(missing_ok=True)
        return Done(job, figures)

    # -- names

    def _path(self, kind: Kind) -> Path:
        return self._directory / f"{kind}.zip"

    def _names(self, job: Job, polls: int) -> Iterable[str]:
        """Give what the file may be called: as a callback said, which may be a false one, and as predicted.

        Which zone the day in names is of is not said (section 3).
        """
        at = job.server_at or job.asked_at
        assert at is not None
        assert job.response_id is not None
        days = [at.astimezone(zone).date() for zone in (self._zone, UTC)]
        if polls % _NEIGHBOURS_EACH == _NEIGHBOURS_EACH - 1:
            days += [near for day in days for near in neighbours(day)]
        return dict.fromkeys([*([job.name] if job.name else []), *predicted_names(job.response_id, days)])

    def _callback_url(self) -> str:
        config = self._ctx.config
        if config.callback_url is not None:
            return config.callback_url
        if not config.callback:
            return NOWHERE
        return self._ctx.ingress.url(callback_path(config, self._ctx.origin.connector))


class _BrokenZip(StreamdError):
    """The zip on disk is not whole: it is downloaded again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
