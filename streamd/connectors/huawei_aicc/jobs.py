"""The ledger of exports under way, durable, and the callbacks that move it (section 6).

planned -> requested -> announced -> downloaded -> gone, in one commit with the last of its events; `empty` in
place of the last two where the server says that there is no file. Each stage is committed before the next
thing is done, so a crash between any two repeats work and loses none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import trio
from msgspec import Struct
from msgspec.structs import replace

from streamd.connector import Changes, Context
from streamd.connectors.huawei_aicc.wire import Callback
from streamd.pull.ledger import Ledger

Kind = Literal["live", "deep", "backfill"]
Stage = Literal["planned", "requested", "announced", "downloaded", "empty"]
PREFIX = "job/"
_NO_FILE = ""  # in place of a name
_MOST_EARLY = 256  # callbacks that came before the reply to their query, or of jobs that are nobody's


class Job(Struct, frozen=True):
    """One export: the window that is asked for, and how far it has come.

    `watermark` is where its cursor stands when it is done. It was asked for at `asked_at` by our clock and
    `server_at` by the server's, and `vain` times before, without a file; `name` is the file's, once known.
    """

    begin: datetime
    end: datetime
    watermark: datetime
    newest: bool = False
    vain: int = 0
    stage: Stage = "planned"
    response_id: str | None = None
    asked_at: datetime | None = None
    server_at: datetime | None = None
    name: str | None = None
    sha256: str | None = None


def planned_anew(job: Job, vain: int = 0) -> Job:
    """Give a job that asks for the same window again, after `vain` times without a file."""
    return Job(job.begin, job.end, job.watermark, job.newest, vain)


class Jobs:
    """The jobs of one connector, one of a kind, and who waits for the callback of each."""

    def __init__(self, ctx: Context[Any]) -> None:
        self._ctx = ctx
        self._ledger = Ledger(ctx, PREFIX, Job)
        self._waiting: dict[str, tuple[Kind, trio.Event]] = {}
        self._early: OrderedDict[str, str] = OrderedDict()
        self._moving = trio.Lock()

    def get(self, kind: Kind) -> Job | None:
        """Give the job of a kind that is under way, from before a restart too."""
        return self._ledger.get(kind)

    def under_way(self) -> Sequence[str]:
        """Give the kinds of which a job is under way."""
        return list(self._ledger.all())

    async def drop(self, kind: Kind) -> None:
        """Forget the job of a kind, where there is one."""
        if self.get(kind) is not None:
            await self._ctx.append([], self.removal(kind))

    async def move(self, kind: Kind, job: Job) -> Job:
        """Commit where a job is now."""
        async with self._moving:
            await self._ctx.append([], self._ledger.put(kind, job))
        return job

    def removal(self, kind: Kind) -> Changes:
        """Give what takes a job out of the ledger, to be committed with the last of its events."""
        return self._ledger.remove(kind)

    # -- callbacks

    def expect(self, kind: Kind, job: Job) -> trio.Event:
        """Wait for a job's callback from now on: the event is set once it is `announced` in the ledger.

        It may have come before the reply to the query has.
        """
        assert job.response_id is not None
        event = trio.Event()
        self._waiting[job.response_id] = kind, event
        if job.response_id in self._early:
            event.set()
        return event

    def heard_early(self, job: Job) -> Job:
        """Give the job as a callback has left it that came before the job was known."""
        name = self._early.pop(job.response_id or "", None)
        return job if name is None or job.stage != "requested" else _told(job, name)

    def forget(self, job: Job) -> None:
        """Let callbacks of this job be those of nobody."""
        self._waiting.pop(job.response_id or "", None)

    async def announce(self, callback: Callback, *, is_signed: bool) -> bool:
        """Take a callback: return whether it is of a job that waits, once its name is in the ledger.

        That there is no file ends the job: nobody but the server may say so.
        """
        name = _NO_FILE if callback.has_no_file and is_signed else callback.name
        if name is None:
            return False
        async with self._moving:
            kind, event = self._waiting.get(callback.response_id, (None, None))
            if kind is None or event is None:
                self._early[callback.response_id] = name
                if len(self._early) > _MOST_EARLY:
                    self._early.popitem(last=False)
                return False
            job = self._ledger.get(kind)
            if job is not None and job.stage == "requested" and job.response_id == callback.response_id:
                await self._ctx.append([], self._ledger.put(kind, _told(job, name)))
            event.set()
        return True


def _told(job: Job, name: str) -> Job:
    return replace(job, stage="empty" if name == _NO_FILE else "announced", name=name)
