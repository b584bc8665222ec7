"""Let people call by themselves: each call is recorded with a life that is drawn for it."""

from __future__ import annotations

import math
from random import Random

from msgspec.structs import replace

from streamd.simulators.oracle_isr.faults import draw
from streamd.simulators.oracle_isr.life import Caller, Life
from streamd.simulators.oracle_isr.options import OracleIsrOptions
from streamd.simulators.oracle_isr.recordings import Fate, Recording
from streamd.simulators.oracle_isr.schedule import Schedule
from streamd.simulators.switches import Switches

_PEOPLE = ("Ada Lovelace", "Søren Kierkegaard", "王芳", "Zoë “Z” O'Neill", "Łukasz <Ł> & Co")
_APART = 20.0  # seconds between the two recordings of one call
_SHORTEST, _LONGEST = 3.0, 4.0  # seconds; times the mean
_AFTERWARDS = {"changed": 300.0, "deleted": 300.0, "moved": 600.0}  # seconds after it could be found


class Calls:
    """The calls that begin by themselves, `rate` a real second; `begun` counts them."""

    def __init__(
        self, options: OracleIsrOptions, life: Life, schedule: Schedule, random: Random, faults: Switches
    ) -> None:
        self._options, self._life, self._schedule, self._random = options, life, schedule, random
        self.faults = faults
        self.rate = 0.0
        self.begun = 0
        self._turn = 0

    @property
    def is_over(self) -> bool:
        """Tell that nobody will call by himself any more."""
        return self.rate <= 0 or self.begun >= self._options.calls

    def set_rate(self, rate: float, now: float) -> None:
        """Let calls begin at this rate from now on."""
        self.rate = rate
        self._turn += 1
        self._plan_next(now, self._turn)

    def _plan_next(self, at: float, turn: int) -> None:
        if self.rate > 0:
            following = at + self._random.expovariate(self.rate / self._options.time_scale)
            self._schedule.at(following, lambda when: self._begin_next(when, turn), endless=True)

    def _begin_next(self, at: float, turn: int) -> None:
        if turn != self._turn or self.begun >= self._options.calls:
            return
        self.call(at)
        if self._hits("same-second") and self.begun < self._options.calls:
            self.call(min(at + 0.2, math.floor(at) + 0.999))
        self._plan_next(at, turn)

    def call(self, at: float) -> Recording:
        """Let a call begin, with all that will become of its recordings."""
        self.begun += 1
        caller = self._draw_caller()
        recording = self._record(at, caller)
        if self._hits("shared-call"):
            own = self.faults.has("ucid-per-recording")
            beside = replace(
                caller,
                ingress_call_id=recording.ingress_call_id,
                isr_ucid=f"{recording.isr_ucid}-2" if own else recording.isr_ucid,
            )
            self._schedule.at(at + _APART, lambda when: self._record(when, beside))
        return recording

    def _draw_caller(self) -> Caller:
        random = self._random
        return Caller(
            ani=str(random.randrange(1001, 1100)),
            dnis=str(random.randrange(2001, 2020)),
            ingress_call_id="" if self._hits("no-ingress") else None,
            isr_ucid="" if self._hits("no-ucid") else None,
            agent_id=random.choice(("", "agent7", "agent8")),
            custom={"CustomDataField1": random.choice(_PEOPLE)} if random.random() < 0.5 else {},
            hidden=self._hits("hidden"),
        )

    def _record(self, at: float, caller: Caller) -> Recording:
        if caller.ingress_call_id == "" and caller.isr_ucid == "":
            caller = replace(caller, ingress_call_id=None)
        visible_at = at + self.faults.number("live-late")
        recording = self._life.begin(at, caller, visible_at=visible_at)
        if not self._hits("stuck"):
            self._plan_life(recording, at, self._draw_seconds())
        return recording

    def _plan_life(self, recording: Recording, at: float, seconds: float) -> None:
        if self._hits("pause"):
            self._life.plan(at + 0.3 * seconds, recording, Fate.LIVE, self._life.pause)
            self._life.plan(at + 0.5 * seconds, recording, Fate.LIVE, self._life.resume)
        if self._hits("split"):
            self._life.plan(at + 0.6 * seconds, recording, Fate.LIVE, self._life.split)
        gap = self._draw_gap()
        ends = at + seconds
        self._life.plan(ends, recording, Fate.LIVE, lambda each, when: self._life.end(each, when, gap))
        if gap == math.inf:
            return
        changes = {"changed": self._change, "deleted": self._life.delete, "moved": self._life.archive}
        for name, after in _AFTERWARDS.items():
            if self._hits(name):
                self._life.plan(ends + gap + after, recording, Fate.FINISHED, changes[name])

    def _change(self, recording: Recording, at: float) -> None:
        self._life.change(recording, at, {"CustomDataField1": f"changed at {at:.0f}"})

    def _draw_seconds(self) -> float:
        if self._hits("short"):
            return self._random.uniform(0.3, 2.0)
        mean = self._options.call_seconds
        return min(max(_SHORTEST, self._random.expovariate(1 / mean)), _LONGEST * mean)

    def _draw_gap(self) -> float:
        if self._hits("lost"):
            return math.inf
        return self.faults.number("late-seconds", 120.0) if self._hits("late") else self._options.gap_seconds

    def _hits(self, name: str) -> bool:
        return draw(self.faults, name, self._random)
