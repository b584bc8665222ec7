"""Let people call: one CDR row for each device a call visits, one recording for each agent (section 5)."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct

from streamd.simulators.huawei_aicc.options import HuaweiOptions
from streamd.simulators.huawei_aicc.records import Row, Value, Version
from streamd.simulators.huawei_aicc.times import to_utc
from streamd.simulators.huawei_aicc.vocabulary import CALL, CDR_COLUMNS, RECORD, RECORDING_COLUMNS
from streamd.simulators.switches import Switches

_QUEUE, _AGENT, _IVR = "1", "2", "3"
_SKILLS, _AGENTS = 5, 200
_VOICE = "5"
_TIMES = ("wait_begin", "wait_end", "ack_begin", "ack_end", "call_begin", "call_end")
_NORMAL, _NO_ANSWER, _USER, _AGENT_LEFT = "0", "26", "15", "16"  # leave reasons


class Call(Struct, frozen=True):
    """One call; `rows` its CDR rows in order, then its recordings."""

    call_id: str
    cc_id: str
    begin: int
    end: int
    rows: Sequence[Row]


class Wish(Struct, frozen=True):
    """What a call is to be like; what is left open is drawn."""

    legs: int | None = None
    answered: bool | None = None
    recorded: bool = True
    account_id: str = ""
    cc_id: str = ""


class Leg(Struct, frozen=True):
    """A visit to one device: its times (epoch), by column."""

    device_type: str
    device_no: str
    times: dict[str, int]

    @property
    def begin(self) -> int:
        return min(self.times.values())

    @property
    def end(self) -> int:
        return max(self.times.values())


class Calls:
    """Whoever calls; ids repeat with the seed."""

    def __init__(self, options: HuaweiOptions, faults: Switches) -> None:
        self.faults = faults
        self.random = random.Random(options.seed)  # noqa: S311 - simulation
        self._options = options
        self._serial: Counter[str] = Counter()
        self._rows = 0

    def make(self, begin: int, wish: Wish, *, end: int | None = None) -> Call:
        """Return a call that begins at an epoch second; with `end` it is moved to end there instead."""
        draw = self.random
        cc_id = wish.cc_id or draw.choice(self._options.cc_ids)
        self._serial[cc_id] += 1
        legs = list(self._legs(begin, wish))
        if end is not None:
            begin, legs = _moved(begin, legs, end - legs[-1].end)
        common: dict[str, Value] = {
            "developer": self._options.access_key,
            "account_id": wish.account_id or draw.choice(self._options.account_ids),
            "cc_id": cc_id,
            "call_id": f"{begin}-{self._serial[cc_id]}",
            "caller_no": f"1{draw.randrange(10**10):010d}",
            "callee_no": self._callee(),
            "vdn_id": self._options.vdn_id,
            "media_type": _VOICE,
        }
        rows = [*self._cdrs(common, legs), *(self._recordings(common, legs) if wish.recorded else ())]
        return Call(str(common["call_id"]), cc_id, begin, legs[-1].end, rows)

    def change(self, row: Row, at: float) -> None:
        """Let a row say something else from `at` on: speech-to-text goes on, a reason is put right."""
        columns = row.columns(row.versions[-1])
        if row.kind == RECORD:
            done = columns["task_status"] == "1"
            columns |= {"task_status": "0" if done else "1", "task_result": "failed" if done else "success"}
        else:
            columns["leave_reason"] = _USER if columns["leave_reason"] == _AGENT_LEFT else _AGENT_LEFT
        row.versions.append(Version(at, tuple(columns.values())))

    def _legs(self, begin: int, wish: Wish) -> Iterator[Leg]:
        """Yield the visits: IVR, queue, agents; who is not answered ends in the queue."""
        draw = self.random
        answered = wish.answered if wish.answered is not None else draw.random() < 0.85
        count = wish.legs or (draw.choices((1, 3, 4, 5), (1, 6, 2, 1))[0] if answered else 2)
        devices = [_IVR, _QUEUE, *[_AGENT] * count] if answered else [_IVR, *[_QUEUE] * count]
        at = begin
        for device in devices[:count] if count > 1 else [_AGENT if answered else _IVR]:
            leg = self._leg(device, at)
            yield leg
            at = leg.end

    def _leg(self, device: str, at: int) -> Leg:
        draw = self.random
        if device == _QUEUE:
            waited = at + draw.randint(3, 60)
            return Leg(device, str(1 + draw.randrange(_SKILLS)), {"wait_begin": at, "wait_end": waited})
        if device == _IVR:
            return Leg(device, "801", {"call_begin": at, "call_end": at + draw.randint(5, 20)})
        rung = at + draw.randint(2, 10)
        times = (at, at, at, rung, rung, rung + draw.randint(20, 300))
        agent = str(1001 + draw.randrange(_AGENTS))
        return Leg(device, agent, dict(zip(_TIMES, times, strict=True)))

    def _callee(self) -> str:
        faults, serial = self.faults, sum(self._serial.values())
        if _one_in(faults, "quoted-commas", serial):
            return '4001,"2"'
        return "4001\n2" if _one_in(faults, "quoted-newlines", serial) else "4001"

    def _cdrs(self, common: dict[str, Value], legs: Sequence[Leg]) -> Iterator[Row]:
        last = len(legs) - 1
        for place, leg in enumerate(legs):
            before = legs[place - 1] if place else None
            columns = common | self._cdr(leg, before, ends=place == last)
            written = self._written(legs, place)
            columns["call_id_num"] = "-1" if place == last else str(place + 1)
            row = self._row(CALL, leg, CDR_COLUMNS, columns, written)
            if self.faults.has("renumbered") and place < last:
                first = tuple((columns | {"call_id_num": "-1"}).get(name, "") for name in CDR_COLUMNS)
                row.versions[0].visible_at = self._written(legs, place + 1)
                row.versions.insert(0, Version(written, first))
            yield row

    def _cdr(self, leg: Leg, before: Leg | None, *, ends: bool) -> dict[str, Value]:
        answered = leg.device_type == _AGENT
        reason = _NORMAL
        if ends:
            reason = self.random.choice((_USER, _AGENT_LEFT)) if answered else _NO_ANSWER
        columns: dict[str, Value] = {
            "agent_id": self._agent(leg) if answered else "",
            **leg.times,
            "device_type": leg.device_type,
            "device_no": leg.device_no,
            "call_type": "0",
            "release_cause": "531" if ends else "0",
            "pre_device_type": before.device_type if before else "",
            "pre_device_no": before.device_no if before else "",
            "skill_id": leg.device_no if leg.device_type == _QUEUE else "",
            "current_skill_id": leg.device_no if leg.device_type == _QUEUE else "",
            "device_in": leg.device_no,
            "pre_device_in": before.device_no if before else "",
            "service_no": str(self.random.randrange(1000)),
            "leave_reason": reason,
        }
        if _one_in(self.faults, "bad-dates", sum(self._serial.values())):
            columns["call_begin"] = "0000-00-00 00:00:00"
        return columns

    def _recordings(self, common: dict[str, Value], legs: Sequence[Leg]) -> Iterator[Row]:
        period = max(1.0, self.faults.number("recording-period", 60))
        folder = "录音" if self._is_chinese else "record"
        for place, leg in enumerate(legs):
            if leg.device_type != _AGENT:
                continue
            begin = leg.times["call_begin"]
            day, call_id = f"{to_utc(begin):%Y%m%d}", common["call_id"]
            columns = common | {
                "agent_id": self._agent(leg),
                "call_begin": begin,
                "call_end": leg.end,
                "file_name": f"{day}_{common['cc_id']}_{call_id}_{place}.wav",
                "task_status": "0",
                "original_file_name": f"Y:\\{folder}\\{common['cc_id']}\\{day}\\{call_id}{place}.V3",
                "call_type": "0",
                "user_wanted_skill_id": "1",
                "current_skill_id": "1",
            }
            written = math.ceil((leg.end + 1) / period) * period
            yield self._row(RECORD, leg, RECORDING_COLUMNS, columns, written)

    def _row(
        self, kind: str, leg: Leg, names: Sequence[str], columns: dict[str, Value], written: float
    ) -> Row:
        faults, number = self.faults, self._rows
        self._rows += 1
        if _one_in(faults, "late-rows", number + 1):
            written += faults.number("late-seconds", 3600)
        begin = leg.times["call_begin"] if kind == RECORD else leg.begin
        row = Row(
            number, kind, begin, leg.end, [Version(written, tuple(columns.get(each, "") for each in names))]
        )
        if _one_in(faults, "changed-rows", number + 1):
            self.change(row, written + faults.number("changed-seconds", 1800))
        return row

    def _written(self, legs: Sequence[Leg], place: int) -> float:
        """Return when the row of a leg is in the database."""
        leg = legs[-1] if self.faults.has("legs-with-the-call") else legs[place]
        return leg.end + self.faults.number("cdr-delay", 5)

    def _agent(self, leg: Leg) -> str:
        return f"坐席{leg.device_no}" if self._is_chinese else leg.device_no

    @property
    def _is_chinese(self) -> bool:
        return self.faults.has("chinese") or self.faults.has("gbk")


def _moved(begin: int, legs: Sequence[Leg], by: int) -> tuple[int, list[Leg]]:
    moved = [
        Leg(leg.device_type, leg.device_no, {name: at + by for name, at in leg.times.items()}) for leg in legs
    ]
    return begin + by, moved


def _one_in(faults: Switches, name: str, count: int) -> bool:
    """Tell whether a switch that strikes one in N strikes the `count`-th (from 1)."""
    return faults.has(name) and count % max(1, int(faults.number(name))) == 0
