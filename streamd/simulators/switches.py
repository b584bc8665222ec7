"""Read the named switches of a simulator: its undocumented choices and its faults.

A switch is written ``name`` or ``name=value``; one that can be narrowed also ``name:part`` and
``name:part=value``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from streamd.errors import ConfigError, Problem


class Switch(Struct, frozen=True):
    """One switch: its row and mark in the vendor's contract, and the value it has when none is written.

    `choice` names a question to which several switches are answers (one at a time); the answer that holds
    when none is written is `default`. `parts` are what it can be narrowed to, `spared` those of them that it
    strikes only when it is narrowed to them.
    """

    name: str
    row: int
    mark: str
    text: str
    value: float | None = None
    choice: str = ""
    default: bool = False
    parts: Sequence[str] = ()
    spared: Sequence[str] = ()

    def describe(self) -> str:
        value = "" if self.value is None else f" [={self.value:g}]"
        default = " (the default)" if self.default else ""
        return f"row {self.row}, {self.mark}: {self.text}{default}{value}"


class _On(Struct):
    switch: Switch
    part: str
    value: float
    left: float


class Switches:
    """The switches that are on, with their values and, where they count down, what is left of them."""

    def __init__(self, known: Mapping[str, Switch], written: Iterable[str] = ()) -> None:
        """Read `written`; raise ConfigError that names every unknown name, bad value and contradiction."""
        problems: list[Problem] = []
        self.written = tuple(sorted(written))
        self._known = known
        self._on: dict[tuple[str, str], _On] = {}
        for text in self.written:
            on = self._read(text, problems)
            if on is not None:
                self._on[on.switch.name, on.part] = on
        problems.extend(_contradictions(self._on.values()))
        if problems:
            raise ConfigError(problems)

    def has(self, name: str, part: str = "") -> bool:
        """Tell whether `name` holds: it is written, or it is the default answer and no other is."""
        switch = self._known[name]
        if not switch.default:
            return (name, part) in self._on or (name, "") in self._on
        return not any(on.switch.choice == switch.choice and on.switch != switch for on in self._on.values())

    def number(self, name: str, otherwise: float = 0.0) -> float:
        """Return the value of `name` (seconds, a count, bytes: its text says), `otherwise` when it is off."""
        assert name in self._known, name
        on = self._on.get((name, ""))
        return otherwise if on is None else on.value

    def spend(self, name: str, part: str = "") -> bool:
        """Tell whether `name` strikes now, and count that down; the narrower `name:part` goes first."""
        assert name in self._known, name
        for key in ((name, part), (name, "")):
            on = self._on.get(key)
            if on is not None and on.left > 0 and (on.part or part not in on.switch.spared):
                on.left -= 1
                return True
        return False

    def _read(self, text: str, problems: list[Problem]) -> _On | None:
        head, _, number = text.partition("=")
        name, _, part = head.partition(":")
        switch = self._known.get(name)
        if switch is None:
            known = ", ".join(sorted(self._known))
            problems.append(Problem("fault", f"{name!r} is unknown; known are {known}"))
            return None
        if part and part not in switch.parts:
            known = f"only {', '.join(switch.parts)}" if switch.parts else "it cannot be narrowed"
            problems.append(Problem(f"fault {name}", f"{part!r}: {known}"))
        value = _value(number, switch, problems)
        return _On(switch, part, value, value)


def _value(number: str, switch: Switch, problems: list[Problem]) -> float:
    if not number:
        return switch.value if switch.value is not None else 1.0
    if switch.value is None:
        problems.append(Problem(f"fault {switch.name}", "takes no value"))
        return 1.0
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not value >= 0:
        problems.append(Problem(f"fault {switch.name}", f"{number!r} is not a number of 0 or more"))
    return value


def _contradictions(on: Iterable[_On]) -> list[Problem]:
    answers: dict[str, list[str]] = {}
    for each in on:
        if each.switch.choice:
            answers.setdefault(each.switch.choice, []).append(each.switch.name)
    return [
        Problem("fault", f"{' and '.join(names)}: one at a time") for names in answers.values() if names[1:]
    ]
