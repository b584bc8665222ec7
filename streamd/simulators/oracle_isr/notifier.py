"""Notify the client of what happens to recordings: ISR's External Event Notifications (section 5)."""

from __future__ import annotations

import ssl
import time
from collections import deque
from random import Random
from typing import NamedTuple
from urllib.parse import quote

import trio

from streamd.simulators.clock import ScaledClock
from streamd.simulators.oracle_isr.client import Client, Unanswered
from streamd.simulators.oracle_isr.faults import draw
from streamd.simulators.oracle_isr.log import Log, NotificationEntry
from streamd.simulators.oracle_isr.options import OracleIsrOptions
from streamd.simulators.oracle_isr.recordings import PREFIX, Recording
from streamd.simulators.oracle_isr.schedule import Schedule
from streamd.simulators.switches import Switches

EVENTS = (
    "RECORDING_STARTED_EVENT",
    "RECORDING_PAUSED_EVENT",
    "RECORDING_RESUMED_EVENT",
    "RECORDING_ENDED_EVENT",
    "SEGMENT_STARTED_EVENT",
    "SEGMENT_ENDED_EVENT",
)
_FACE_NAMES = {
    "RECORDING_STARTED_EVENT": "AudioRecordingStarted",
    "RECORDING_ENDED_EVENT": "AudioRecordingEnded",
}
_SECONDS = 5.0  # real, for an answer
_HOLD = 0.2  # real seconds that one is held back for when no other comes
_AGAIN = 0.1  # real seconds before a retry


class _Note(NamedTuple):
    event: str
    ucid: str
    called: str
    number: int


class Notifier:
    """A queue to one destination: a slow client delays the rest. `url` empty: nothing is sent."""

    def __init__(
        self,
        options: OracleIsrOptions,
        clock: ScaledClock,
        schedule: Schedule,
        log: Log,
        random: Random,
        faults: Switches,
    ) -> None:
        self.url = options.notify_url
        self._events = options.notify_events or frozenset(EVENTS)
        self.faults = faults
        self._clock, self._schedule, self._log, self._random = clock, schedule, log, random
        self._trust = options.push_ssl_context
        self._queue: deque[_Note] = deque()
        self._held: _Note | None = None
        self._sending = False
        self._changed = trio.lowlevel.ParkingLot()

    @property
    def is_idle(self) -> bool:
        """Tell that all was sent that is to be sent."""
        return not self._queue and self._held is None and not self._sending

    def announce(self, event: str, recording: Recording, at: float) -> None:
        """Notify of a recording, now or as late as the switches say."""
        if not self.url or event not in self._events or not recording.pushed:
            return
        host = "1.2.3.4.11" if self.faults.has("notify-odd-aors") else "192.0.2.9"
        called = f"sip:{recording.dnis}@{host},sip:{recording.agent_id or 'a2'}@{host}"
        ucid = recording.isr_ucid or recording.call_key
        if self.faults.has("notify-bare-ucid"):
            ucid = ucid.removeprefix(PREFIX)
        note = _Note(event, ucid, called, recording.number)
        if self._hits("notify-lost"):
            self._log.notified(self._entry(note, 0, 0, 0.0, "lost"))
            return
        if self.faults.has("notify-late"):
            self._schedule.at(at + self.faults.number("notify-late"), lambda _: self._put(note))
        else:
            self._put(note)

    def forge(self, event: str, ucid: str) -> None:
        """Notify of what is no recording."""
        self._put(_Note(event, ucid, "sip:nobody@192.0.2.9", -1))

    async def run(self) -> None:
        """Send what is queued, one after the other, until cancelled."""
        client = Client(self._trusted)
        try:
            while True:
                await self._send_next(client)
        finally:
            client.close()

    async def _send_next(self, client: Client) -> None:
        if self._queue:
            await self._send(client, self._queue.popleft())
            return
        with trio.move_on_after(_HOLD) as scope:
            await self._changed.park()
        if scope.cancelled_caught and self._held is not None:
            self._queue.append(self._held)
            self._held = None

    def _trusted(self) -> ssl.SSLContext:
        if self._trust is None:
            self._trust = ssl.create_default_context()
        return self._trust

    def _put(self, note: _Note) -> None:
        if self._held is None and self._hits("notify-shuffled"):
            self._held = note
            return
        self._queue.append(note)
        if self._hits("notify-duplicate"):
            self._queue.append(note)
        if self._held is not None:
            self._queue.append(self._held)
            self._held = None
        self._changed.unpark_all()

    async def _send(self, client: Client, note: _Note) -> None:
        self._sending = True
        tries = 1 + int(self.faults.number("notify-retries"))
        for attempt in range(1, tries + 1):
            if await self._try(client, note, attempt):
                break
            if attempt < tries:
                await trio.sleep(_AGAIN)
        self._sending = False
        self._schedule.progress.unpark_all()

    async def _try(self, client: Client, note: _Note, attempt: int) -> bool:
        """Notify once; tell whether it was answered with 200."""
        begun, status, body = time.monotonic(), 0, b""
        parameters, form = self._parameters(note), b""
        url = f"{self.url}{'&' if '?' in self.url else '?'}{parameters}"
        if self.faults.has("notify-post-form"):
            url, form = self.url, parameters.encode("ascii")
        try:
            status, body = await client.request(self._method, url, form, _SECONDS)
        except Unanswered:
            outcome = "unanswered"  # the log says so, and a retry follows where there are any
        else:
            outcome = "accepted" if status == 200 else "refused"
        self._log.notified(self._entry(note, attempt, status, time.monotonic() - begun, outcome, body))
        return status == 200

    def _parameters(self, note: _Note) -> str:
        safe = ":,@" if self.faults.has("notify-raw-at") else ":,"
        event = (
            _FACE_NAMES.get(note.event, note.event) if self.faults.has("notify-face-names") else note.event
        )
        found = {"event": event, "ucid": note.ucid, "calledAors": note.called}
        return "&".join(f"{name}={quote(value, safe=safe)}" for name, value in found.items())

    @property
    def _method(self) -> str:
        return "GET" if self.faults.has("notify-get") else "POST"

    def _entry(
        self, note: _Note, attempt: int, status: int, seconds: float, outcome: str, body: bytes = b""
    ) -> NotificationEntry:
        return NotificationEntry(
            at=time.time(),
            platform_at=self._clock.now(),
            event=note.event,
            ucid=note.ucid,
            number=note.number,
            method=self._method,
            attempt=attempt,
            status=status,
            seconds=seconds,
            outcome=outcome,
            body=body,
        )

    def _hits(self, name: str) -> bool:
        return draw(self.faults, name, self._random)
