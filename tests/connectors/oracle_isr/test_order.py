"""A recording over the change of clocks in autumn, when the wall shows an hour twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from streamd.connectors.oracle_isr.details import Details
from streamd.connectors.oracle_isr.discretion import Discretion
from streamd.connectors.oracle_isr.entities import Recording
from streamd.connectors.oracle_isr.face import Face, Turn
from streamd.connectors.oracle_isr.finished import Finished
from streamd.connectors.oracle_isr.listing import Listing
from streamd.connectors.oracle_isr.normalise import Normaliser, link_name
from streamd.connectors.oracle_isr.register import Register
from streamd.connectors.oracle_isr.retrieval import Retrieval
from streamd.connectors.oracle_isr.upkeep import Upkeep
from streamd.connectors.oracle_isr.zone import Zone
from streamd.probe import ProbeContext
from streamd.pull.server_clock import ServerClock
from streamd.simulators.http import Request, Response
from streamd.transport.http import open_http
from tests.connectors.oracle_isr.test_trouble import LOGIN, ok

MAKE = Normaliser("isr", Zone("Europe/Berlin"))
CHANGE = datetime(2024, 10, 27, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SOON, LATE = CHANGE - 40 * MINUTE, CHANGE + timedelta(days=1)
"""With the one both hours are read as the first, with the other as the second."""
WHILES = (SOON, CHANGE + 15 * MINUTE, LATE)


def wall(minutes: float) -> str:
    """Write an instant, in minutes from the change, as Berlin's clock shows it."""
    hours = 2 if minutes < 0 else 1
    return f"{CHANGE + minutes * MINUTE + timedelta(hours=hours):%Y-%m-%d %H:%M:%S}"


def read(latest: datetime, start: float, *segments: tuple[int, float, float]) -> Recording:
    """Read a recording; each segment has its sequence, start and end."""
    told = [{"sequence": of, "start": wall(begin), "end": wall(end)} for of, begin, end in segments]
    tree: dict[str, Any] = {"recordingId": "5", "startTime": wall(start), "segments": told}
    return MAKE.recording(tree, link_name(tree), latest)


def minutes(at: datetime | None) -> float:
    assert at is not None
    return (at - CHANGE) / MINUTE


def times(of: Recording) -> list[tuple[float, float]]:
    return [(minutes(each.start), minutes(each.end)) for each in of.segments or ()]


@pytest.mark.parametrize("latest", WHILES)
def test_a_recording_over_the_change_of_clocks_ends_after_it_started(latest: datetime) -> None:
    recording = read(latest, -10, (1, -10, 10))
    assert (minutes(recording.start_time), minutes(recording.end_time)) == (-10, 10)
    assert times(recording) == [(-10, 10)]


@pytest.mark.parametrize("latest", WHILES)
def test_segments_before_and_after_the_change_keep_their_order_however_they_are_listed(
    latest: datetime,
) -> None:
    recording = read(latest, -40, (3, 10, 20), (1, -40, -10), (2, -10, 10))
    assert (minutes(recording.start_time), minutes(recording.end_time)) == (-40, 20)
    assert times(recording) == [(10, 20), (-40, -10), (-10, 10)]


@pytest.mark.parametrize("latest", WHILES)
def test_a_change_between_two_segments_is_seen_by_their_sequence(latest: datetime) -> None:
    recording = read(latest, -40, (1, -40, -10), (2, 5, 30))
    assert (minutes(recording.start_time), minutes(recording.end_time)) == (-40, 30)
    assert times(recording) == [(-40, -10), (5, 30)]


def test_two_notes_of_one_moment_do_not_move_a_recording_by_an_hour() -> None:
    recording = read(SOON, -40 + 1 / 60, (1, -40, -30))
    assert minutes(recording.start_time) == -40 + 1 / 60
    assert times(recording) == [(-40, -30)]


@given(
    st.integers(-200, 200), st.integers(0, 59), st.integers(-300, 300).map(lambda at: CHANGE + at * MINUTE)
)
def test_no_short_recording_ends_before_it_starts_whenever_it_is_read(
    start: int, long: int, latest: datetime
) -> None:
    recording = read(latest, start, (1, start, start + long))
    [(begin, end)] = times(recording)
    assert begin <= end
    assert minutes(recording.start_time) <= minutes(recording.end_time)


@pytest.mark.parametrize("told", [-10, 10])
def test_the_ids_do_not_depend_on_which_hour_was_read(told: float) -> None:
    tree: dict[str, Any] = {"recordingId": "5", "ingressCallId": "c", "startTime": wall(told)}
    link, ids = link_name(tree), set()
    for latest in WHILES:
        data = MAKE.recording(tree, link, latest)
        ids.add(
            (MAKE.started(data, link, latest, "live").id, MAKE.ended(tree, data, link, latest, "live").id)
        )
    assert len(ids) == 1


@pytest.mark.parametrize(("begin", "end", "latest"), [(-10, 10, LATE), (-40, -30, CHANGE - 20 * MINUTE)])
async def test_all_events_of_a_recording_mean_the_same_hour(
    scripted: Any, begin: float, end: float, latest: datetime
) -> None:
    segment = {"sequence": 1, "start": wall(begin), "end": wall(end), "archived": 0}
    tree = {"recordingId": "5", "ingressCallId": "c", "startTime": wall(begin), "segments": [segment]}
    later = {**tree, "segments": [{**segment, "archived": 1}]}

    async def respond(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        is_login = request.path.endswith("/login")
        return LOGIN if is_login else ok({"result": {"code": 0, "recording": later}})

    async with scripted(respond) as config, open_http(config.base_url) as http:
        ctx: Any = ProbeContext("isr", config)
        zone, register = Zone("Europe/Berlin"), Register(ctx)
        details = Details(Face(ctx, http, ServerClock(ctx.clock)), zone, Discretion(config.privacy))
        retrieval = Retrieval(details, ctx.clock)
        finished = Finished(ctx, register, retrieval, MAKE, zone, lambda: CHANGE + end * MINUTE)
        await finished.publish(Listing({"5": tree}, {"5"}), latest, "backfill", Turn.USUAL)
        await Upkeep(ctx, register, details, retrieval, finished, MAKE).revisit(LATE)
    told = [each.data for each in ctx.items]
    assert [minutes(each.start_time) for each in told] == [begin] * 3
    assert [minutes(each.end_time) for each in told[1:]] == [end] * 2
    assert ctx.items[0].time == told[1].start_time
