"""Which window is asked for next, and when (vendors/huawei_aicc.md, section 6); pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from streamd.connectors.huawei_aicc.config import LONGEST_WINDOW_SECONDS, HuaweiConfig
from streamd.connectors.huawei_aicc.jobs import Job
from streamd.pull.windows import Pace, Window, slices

LONGEST = timedelta(seconds=LONGEST_WINDOW_SECONDS)
SHORTEST = timedelta(minutes=1)
"""A window that is not halved any more, whatever the server says."""
_KEPT = timedelta(hours=48)  # beyond the lookback (section 6)


def pace_of(config: HuaweiConfig, longest: timedelta) -> Pace:
    """Give the live walk's pace, where the server takes no window longer than `longest`."""
    overlap = min(timedelta(seconds=config.lookback_seconds), longest / 2)
    catch_up = min(timedelta(seconds=config.catch_up_seconds), longest - overlap)
    return Pace(
        step=min(timedelta(seconds=config.step_seconds), catch_up),
        overlap=overlap,
        settle=timedelta(seconds=config.settle_seconds),
        catch_up=catch_up,
    )


def wait_seconds(pace: Pace, watermark: datetime, server_now: datetime) -> float:
    """Say how long it is until a whole step can be asked for; 0 while the walk is behind."""
    return max(0.0, (watermark + pace.step + pace.settle - server_now).total_seconds())


def silent(pace: Pace, longest: timedelta) -> Pace:
    """Give the pace where windows without rows get no file: as far at once as the server takes.

    A file of a longer window proves that there was nothing in the shorter one, and silence proves nothing.
    """
    return replace(pace, catch_up=longest - pace.overlap)


def live_job(pace: Pace, watermark: datetime, server_now: datetime) -> Job | None:
    """Plan the next window of the live walk; None while there is nothing to ask for.

    It is the newest where its end is as near the present as a walk on time comes.
    """
    step = pace.next(watermark, server_now)
    if step is None:
        return None
    newest = server_now - pace.settle - step.watermark < pace.step
    return Job(step.window.begin, step.window.end, step.watermark, newest)


def wider(job: Job, until: datetime, longest: timedelta) -> Job | None:
    """Give a job of the past that reaches farther than one that was met with silence; None: it cannot."""
    end = min(until, job.begin + longest)
    return Job(job.begin, end, end) if end > job.end else None


def past_jobs(begin: datetime, end: datetime, longest: timedelta) -> list[Job]:
    """Plan windows for a stretch of the past, oldest first: a day each at most."""
    pieces = slices(Window(begin, end), min(longest, timedelta(days=1)))
    return [Job(each.begin, each.end, each.end) for each in pieces]


def kept_for(config: HuaweiConfig, reading_at: datetime | None, server_now: datetime) -> timedelta:
    """Say how long it is remembered that a row was published.

    A re-reading that was put off, and stands at `reading_at`, reaches farther back than others until it is
    done: what it finds must be known.
    """
    reach = max(_KEPT, timedelta(seconds=config.deep.lookback_seconds))
    if reading_at is not None:
        reach = max(reach, server_now - reading_at)
    return reach + timedelta(seconds=config.lookback_seconds)
