"""Windows that no asking brings: declared as gaps, and passed."""

from __future__ import annotations

from typing import Any, Literal

from streamd.connector import Changes, Context, Link
from streamd.connectors.huawei_aicc.jobs import Job, Jobs, Kind
from streamd.errors import BadRecord, Transient

Cause = Literal["export_too_big", "export_never_came"]
MOST_VAIN = 3
"""So often is a window asked for that brings no file, one after the other."""


class Holes:
    """Declares them on the session's link, once there is one."""

    def __init__(self, ctx: Context[Any], jobs: Jobs) -> None:
        self._ctx = ctx
        self._jobs = jobs
        self._link: Link | None = None

    def declare_on(self, link: Link) -> None:
        """Take the link of the session that has begun."""
        self._link = link

    async def leave_out(
        self,
        kind: Kind,
        job: Job,
        cause: Cause,
        final: Changes,
        bad: BadRecord | None = None,
    ) -> None:
        """Commit the gap with `final` and the end of the job; before it what cannot be taken in."""
        if self._link is None:
            raise Transient("the session has not begun")
        self._ctx.log.error("window_left_out", kind=kind, begin=job.begin.isoformat(), cause=cause)
        if bad is not None:
            await self._ctx.append([self._ctx.dead_letter(bad)])
        changes = {**final, **self._jobs.removal(kind)}
        await self._link.declare_gap(cause=cause, since=job.begin, until=job.end, changes=changes)
