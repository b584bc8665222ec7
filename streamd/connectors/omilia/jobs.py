"""What the list of exports says about the one that we need. Pure.

Source: vendors/omilia.md section 4. SUBMITTED, PROCESSING and RUNNING lead to READY, then EXPIRED; a state
nobody documented counts as under way, until our own deadline.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from streamd.connectors.omilia.answers import Job
from streamd.connectors.omilia.plan import attempt_of

READY, EXPIRED = "READY", "EXPIRED"
UNDER_WAY = frozenset(("SUBMITTED", "PROCESSING", "RUNNING"))


class Standing(Struct, frozen=True):
    """How the tries at one slice stand.

    `job`: the one to go on with, READY where there is one; None: another is to be submitted, as number
    `attempt`. `busy`: the name of an export that takes the group's only place, if it is not that one.
    """

    job: Job | None
    attempt: int
    busy: str | None


def standing(listed: Iterable[Job], stem: str, given_up: int) -> Standing:
    """Look for the exports of `stem` but for those up to number `given_up`."""
    usable: dict[int, Job] = {}
    latest, busy = given_up, None
    for job in listed:
        attempt = attempt_of(stem, job.name)
        if attempt is not None:
            latest = max(latest, attempt)
        if attempt is not None and attempt > given_up and job.status != EXPIRED:
            usable[attempt] = job
        elif job.status in UNDER_WAY:
            busy = job.name or job.export_id
    if not usable:
        return Standing(None, latest + 1, busy)
    number = max(usable, key=lambda attempt: (usable[attempt].status == READY, attempt))
    return Standing(usable[number], number, busy)
