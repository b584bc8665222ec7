"""Take records in, each once: the one way to the spool for what is pushed and for what is exported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

import trio
from msgspec import Struct

from streamd.connector import NO_CHANGES, Changes, Context
from streamd.connectors.omilia.arrivals import OLD
from streamd.connectors.omilia.config import AUDIT_TYPES, OmiliaConfig
from streamd.connectors.omilia.evidence import Evidence
from streamd.connectors.omilia.normalise import Normal, Normaliser
from streamd.connectors.omilia.remembered import Remembered
from streamd.errors import BadRecord
from streamd.model import Event, Phase

Note = Callable[[Mapping[str, int]], Changes]
"""What is committed together with so many new records of each message type."""
_AT_ONCE_BYTES, _EACH_BYTES = 128 * 1024, 256
"""How much is read between two turns of the scheduler, and what each record counts for beside its own length:
some 100 records, in 5 ms."""


class Outcome(Struct, frozen=True):
    """What became of records that were taken in.

    `accepted` are events now, by message type in `by_type`; `repeated` were events already; `bad` are dead
    letters. `oldest`: the earliest time of an accepted record, as Omilia has it.
    """

    accepted: int
    repeated: int
    bad: int
    by_type: dict[str, int]
    oldest: datetime | None


class _Flight:
    """Records on their way into the spool."""

    def __init__(self) -> None:
        self.over = trio.Event()


class Records:
    """The records of one connector, and which of them were accepted lately."""

    def __init__(self, ctx: Context[OmiliaConfig], evidence: Evidence) -> None:
        self._ctx = ctx
        self._evidence = evidence
        self._normaliser = Normaliser(ctx.config)
        self._remembered = Remembered(ctx.config.remembered_ids)
        self._in_flight: dict[int, _Flight] = {}

    async def accept(
        self,
        records: Sequence[bytes],
        *,
        origin: str,
        received: datetime,
        phase: Phase = "live",
        expected: str | None = None,
        unnamed: str | None = None,
        note: Note = lambda kinds: NO_CHANGES,
    ) -> Outcome:
        """Commit what is new of `records` (one JSON each), with dead letters of the bad ones and a `note`.

        `expected`: the message type that should come; others are accepted and counted. `unnamed`: that of
        records without one, which are bad otherwise. `origin` says in dead letters where the records came
        from. What is on its way in already is waited for, and accepted here when it was not committed. Raises
        what `Context.append` raises.
        """
        normalise = partial(
            self._normaliser.normalise, origin=origin, received=received, phase=phase, unnamed=unnamed
        )
        normals, letters = await self._read(records, normalise)
        if expected is not None:
            self._count_strangers(normals, expected)
        accepted: list[Event] = []
        repeated = 0
        evident = await self._evident(normals)
        while True:
            # What another call has committed since is remembered.
            fresh, ahead, known = self._sort(normals, evident)
            repeated += known
            accepted += await self._commit(fresh, letters, note)
            letters = []
            if not ahead:
                break
            for flight in {flight for _, flight in ahead}:
                await flight.over.wait()
            normals = [normal for normal, _ in ahead]
        self._ctx.counters.count("records", len(accepted))
        if repeated:
            self._ctx.counters.count("repeated_records", repeated)
        return _outcome(accepted, repeated, len(records) - len(accepted) - repeated)

    async def _read(
        self, records: Sequence[bytes], normalise: Callable[[bytes], Normal]
    ) -> tuple[list[Normal], list[Event]]:
        normals: list[Normal] = []
        letters: list[Event] = []
        taken = 0
        for raw in records:
            if taken > _AT_ONCE_BYTES:
                await trio.lowlevel.checkpoint()
                taken = 0
            taken += len(raw) + _EACH_BYTES
            try:
                normals.append(normalise(raw))
            except BadRecord as bad:
                letters.append(self._ctx.dead_letter(bad))
        return normals, letters

    def _sort(
        self, normals: Sequence[Normal], evident: Collection[int]
    ) -> tuple[dict[int, Event], list[tuple[Normal, _Flight]], int]:
        """Tell what is new from what another call is committing now, and count what is known already."""
        fresh: dict[int, Event] = {}
        ahead: list[tuple[Normal, _Flight]] = []
        known = 0
        for key, event in normals:
            flight = self._in_flight.get(key)
            if flight is not None:
                ahead.append(((key, event), flight))
            elif key in fresh or key in self._remembered or key in evident:
                known += 1
            else:
                fresh[key] = event
        return fresh, ahead, known

    async def _commit(self, fresh: dict[int, Event], letters: Sequence[Event], note: Note) -> Sequence[Event]:
        if not (fresh or letters):
            return ()
        flight = _Flight()
        self._in_flight.update(dict.fromkeys(fresh, flight))
        try:
            await self._ctx.append([*fresh.values(), *letters], note(_kinds(fresh.values())))
            self._remembered.add(fresh)
            self._evidence.note((key, event.time) for key, event in fresh.items())
        finally:
            for key in fresh:
                del self._in_flight[key]
            flight.over.set()
        return list(fresh.values())

    async def _evident(self, normals: Sequence[Normal]) -> Collection[int]:
        """Give the keys of those that came late, so perhaps again, and were published before a restart."""
        late = [(key, event.time) for key, event in normals if _is_late(event)]
        return await self._evidence.known(late) if late else ()

    def _count_strangers(self, normals: Sequence[Normal], expected: str) -> None:
        """Count the records whose message type is not that of their stream. They are records all the same."""
        wanted = AUDIT_TYPES if expected in AUDIT_TYPES else (expected,)
        strangers = sum(event.data.message_type not in wanted for _, event in normals)
        if strangers:
            self._ctx.counters.count("mismatched_types", strangers)


def _is_late(event: Event) -> bool:
    """Tell whether it may be a repetition; of what tells no time that can never be excluded."""
    return event.time is None or event.phase == "backfill" or event.received - event.time >= OLD


def _outcome(accepted: Sequence[Event], repeated: int, bad: int) -> Outcome:
    times = [event.data.time for event in accepted if event.data.time is not None]
    return Outcome(len(accepted), repeated, bad, _kinds(accepted), min(times, default=None))


def _kinds(events: Iterable[Event]) -> dict[str, int]:
    """Count events by message type."""
    return dict(Counter(event.data.message_type for event in events))
