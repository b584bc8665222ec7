"""Make records as section 5 of vendors/omilia.md has them: calls of dialogs, audits, voice biometrics.

One call is a root dialog and one dialog for each miniApp, all of one `group`. Their ids come in the shapes
that were seen. The content of audit events and of voice verifications is invented: no document shows any.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streamd.simulators.clock import ScaledClock
from streamd.simulators.omilia.vocabulary import AUDIT, END, ENROLMENT, START, STEP, VERIFICATION
from streamd.simulators.switches import Switches

Message = dict[str, Any]

_APPS = ("Authentication", "GetIntent", "Balance", "CardBlock", "Appointment")
_SAID: Sequence[tuple[str, str, Sequence[tuple[str, str, str]]]] = (
    ("my balance", "Balance", []),
    ("I lost my card ending 4417", "CardBlock", [("CardNumber", "PCI", "4417")]),
    (
        "Zoë Müller, 3 May 1980",
        "undefined",
        [("Name", "PII", "Zoë Müller"), ("Birthday", "PII", "1980-05-03")],
    ),
    ("an appointment in Kraków", "Appointment", [("City", "None", "Kraków")]),
    ("****", "undefined", [("Pin", "PCI", "****")]),
    ("", "undefined", []),
    ("[noinput]", "undefined", []),
    ("[hup]", "undefined", []),
)
_ASKED = (
    ("Get_Intent", "ASK", "How can I help?"),
    ("Ask_Account", "ASK", "Please say your account number."),
    ("Tell_Balance", "ANNOUNCEMENT", "Your balance is 1 234 euros."),
    ("Ask_More", "Ask", "Is there anything else?"),
)
_ENDS = ("FAR_HUP", "NEAR_HUP", "TRANSFER", "NORMAL")


class Dialogs:
    """Make calls; `faults` may be replaced at any time."""

    def __init__(self, group: str, clock: ScaledClock, faults: Switches, seed: int) -> None:
        self.faults = faults
        self.random = random.Random(seed)  # noqa: S311 - reproducible on purpose
        self._group, self._clock = group, clock
        self._calls = 0

    def hexadecimal(self, digits: int) -> str:
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def now(self) -> int:
        return int(self._clock.now() * 1000)

    def call(self, children: int | None = None, end_type: str = "", starts_at: int = 0) -> Iterator[Message]:
        """Yield the records of one call in the order they happen, each timed when it is asked for.

        `children` miniApps (default: 1 to 3) of 1 to 4 steps. With `starts_at` (ms) the call lies in the
        past: time then passes by itself.
        """
        self._calls += 1
        draw, begun = self.random, starts_at or self.now()
        conversation = f"{self.hexadecimal(40)}.{begun}.{self.hexadecimal(32)}"
        root = _Dialog(self, conversation, conversation, "Main", 0, past=bool(starts_at), begun=begun)
        root.connection["test_flag"] = self._calls % 20 == 0
        yield root.start()
        yield root.step()
        for number in range(1, 1 + (draw.randint(1, 3) if children is None else children)):
            identifier = self.hexadecimal(32).upper() if number % 2 else self.hexadecimal(40)
            child = _Dialog(self, identifier, conversation, draw.choice(_APPS), number, parent=root)
            yield child.start()
            for _ in range(draw.randint(1, 4)):
                yield child.step()
            yield child.end("NORMAL")
            root.clock = child.clock
        yield root.step()
        yield root.end(end_type or draw.choice(_ENDS))

    def audit(self) -> Message:
        return {
            "message_type": AUDIT,
            "id": f"{self.hexadecimal(8)}-{self.hexadecimal(4)}",
            "time": self.now(),
            "group_name": self._group,
            "user": {"name": "j.doe", "email": "j.doe@acme.example", "ip": "192.0.2.17"},
            "action": {"name": "APPLICATION_PUBLISHED", "target": "Main.Acme"},
        }

    def voices(self) -> list[Message]:
        return [self._voice(ENROLMENT), self._voice(VERIFICATION)]

    def _voice(self, kind: str) -> Message:
        now = self.now()
        message: Message = {
            "message_type": kind,
            "region": "eu",
            "vb_version": "4.2.0",
            "dialog_id": self.hexadecimal(32).upper(),
            "session_id": self.uuid(),
            "origin": "+441632960123",
            "group_name": self._group,
            "profile_id": f"p{self.hexadecimal(8)}",
            "biokeys": [{"key": "ani", "value": "+441632960123"}],
            "voiceprint": {
                "voiceprint_id": self.hexadecimal(16),
                "creation_ts": now,
                "extractor_version": "3.1",
                "method": "text-independent",
                "speech_frames": 812,
                "vp_fail": False,
                "vp_fail_reason": "null",
            },
        }
        if kind == VERIFICATION:
            message["result"] = {"decision": "ACCEPTED", "score": 4.25}
        else:
            message["enrolled_user"] = {"user_id": "90210", "opted_out": False, "user_creation_ts": now}
        return message

    def uuid(self) -> str:
        return "-".join(map(self.hexadecimal, (8, 4, 4, 4, 12)))


class _Dialog:
    """One dialog of a call; `clock` is the time of its latest record in ms."""

    def __init__(
        self,
        dialogs: Dialogs,
        identifier: str,
        conversation: str,
        name: str,
        place: int,
        parent: _Dialog | None = None,
        past: bool = False,
        begun: int = 0,
    ) -> None:
        self._dialogs, self._id, self._group, self._name = dialogs, identifier, conversation, name
        self._steps = self._asked = 0
        self._paired = False
        self._past: bool = parent._past if parent is not None else past
        self.clock: int = parent.clock if parent is not None else begun - 1
        self.begun = self._tick()
        self.connection: Message = parent.connection if parent is not None else _connection(dialogs)
        self._shared = {
            "channel": "omIVR",
            "app": {"name": f"acct.{name}.Flow.Acme@{name}.Acme", "version": 12},
            "diamant": {"id": "n1", "region": "eu", "version": "10.39.0"},
            "flow": _flow(name, identifier, place, dialogs),
        }

    def _tick(self) -> int:
        """Return the time of the next record, never the same twice: now, or in the past some seconds on."""
        pause = self._dialogs.random.randint(1000, 9000) if self._past else 1
        self.clock = self.clock + pause if self._past else max(self.clock + 1, self._dialogs.now())
        return self.clock

    def _common(self, kind: str, time: int) -> Message:
        ids = {"message_type": kind, "id": self._id, "group": self._group}
        shared = {name: self.connection[name] for name in ("session_id", "test_flag")}
        return {**ids, **shared, "time": time, **self._shared}

    def start(self) -> Message:
        message = self._common(START, self.begun)
        return {**message, **self.connection, "device_type": "mobile", "direction": "inbound"}

    def step(self) -> Message:
        draw, faults = self._dialogs.random, self._dialogs.faults
        period = int(faults.number("steps-same-ms"))
        self._paired = self._steps > 0 and not self._paired and period > 0 and draw.randrange(period) == 0
        time = self.clock if self._paired else self._tick()
        self._steps += 1
        self._asked = (self._asked + draw.randint(1, len(_ASKED) - 1)) % len(
            _ASKED
        )  # never the same in a row
        name, kind, prompt = _ASKED[self._asked]
        masked = faults.has("all-masked")
        said, intent, entities = draw.choice(_SAID)
        said = "****" if masked else said
        message = self._common(STEP, time)
        message |= {
            "locale": "en-GB",
            "input_modality": "speech",
            "original_utterance": said,
            "transcription": said,
            "nlu": _understood(said, intent, entities, masked),
            "action": {
                "name": name,
                "type": kind,
                "prompt": prompt,
                "timeout": 5000,
                "prompt_duration": 1800,
            },
            "bio": {"search_result": "undefined"},
            "events": [
                {"index": 1, "active_intent": intent, "log": {"event": f"{name}:InformationAsked"}},
                {
                    "index": 2,
                    "active_intent": "undefined",
                    "log": {"event": f"AccountRef:{'****' if masked else 90210}"},
                },
            ],
        }
        if faults.has("step-numbers"):
            message["step"] = self._steps
        return message

    def end(self, end_type: str) -> Message:
        """Return the end; its `time` is that of the start (section 5)."""
        duration = self._tick() - self.begun
        value = "****" if self._dialogs.faults.has("all-masked") else "90210"
        return {
            **self._common(END, self.begun),
            "duration": duration,
            "end_type": end_type,
            "events": f"Locale:en-GB,AccountRef:{value},globalResult:success,{end_type}:queue7",
            "kvps": [
                {"key": "AccountRef", "value": value, "step": 3},
                {"key": "Segment", "value": "null", "step": 0},
            ],
            "no_inputs": 0,
            "no_matches": 1,
        }


def _connection(dialogs: Dialogs) -> Message:
    """Return what all dialogs of a call share."""
    return {
        "session_id": dialogs.uuid(),
        "test_flag": False,
        "origin_uri": f"+44163296{dialogs.random.randrange(10_000):04d}",
        "hashed_origin_uri": "",
        "destination_uri": "+448081570000",
        "connection_id": dialogs.hexadecimal(16),
        "incoming_attached_data": {"CustomerNumber": "90210", "Language": "en-GB", "Queue": "undefined"},
        "asr": {"mrcp_session_id": dialogs.hexadecimal(32)},
    }


def _flow(name: str, identifier: str, place: int, dialogs: Dialogs) -> Mapping[str, Any]:
    flow: Message = {
        "id": 4711 + place,
        "account_id": 17,
        "name": name,
        "type": "Flow" if place == 0 else f"{name}2",
        "uuid": dialogs.uuid(),
        "organization": "Acme",
        "reportable": True,
        "parent_step": place,
        "root_step": place,
        "path": ["Main"] if place == 0 else ["Main", name],
        "ocp_group_name": "Acme",
    }
    return flow if place == 0 else {**flow, "parent_name": "Main", "parent_id": "4711"}


def _understood(said: str, intent: str, entities: Sequence[tuple[str, str, str]], masked: bool) -> Message:
    if not said or said.startswith("["):
        kind = {"[hup]": "HUP", "[noinput]": "NO_INPUT"}.get(said, "NO_MATCH")
        return {"result_type": kind, "result_count": 0, "semantic_interpretation": []}
    found = [
        {
            "name": name,
            "sensitivity_level": level,
            "instances": [{"value": "****" if masked else value, "confidence": 87.5, "begin": 0, "end": 4}],
        }
        for name, level, value in entities
    ]
    meant = {"name": intent, "status": "Undefined", "confidence": 93.0}
    meaning = {"utterance": said, "confidence": 93.0, "intent": meant, "entities": found}
    return {"result_type": "RECOGNITION", "result_count": 1, "semantic_interpretation": [meaning]}
