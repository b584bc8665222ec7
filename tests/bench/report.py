"""The figures of a run: said as they come, and all together at the end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """One figure. `aim` is what the issue wants, `met` whether it is so; None where nothing is wanted."""

    part: str
    what: str
    value: float
    unit: str
    aim: str
    met: bool | None


class Report:
    """Collects figures."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        """Tell what goes on, with the seconds since the start."""
        print(f"[{time.monotonic() - self._begun:5.0f} s] {text}", flush=True)

    def add(
        self,
        part: str,
        what: str,
        value: float,
        unit: str = "",
        *,
        most: float | None = None,
        least: float | None = None,
    ) -> float:
        """Note a figure that should be at most, or at least, so much; give it back."""
        aim, met = "", None
        if most is not None:
            aim, met = f"≤ {most:,g}", value <= most
        if least is not None:
            aim, met = f"≥ {least:,g}", value >= least
        figure = Figure(part, what, value, unit, aim, met)
        self.figures.append(figure)
        self.say(_line(figure))
        return value

    def find(self, part: str, what: str) -> float | None:
        """Give a figure of this run; None where it was not measured."""
        found = [figure.value for figure in self.figures if (figure.part, figure.what) == (part, what)]
        return found[-1] if found else None

    def table(self, title: str) -> str:
        """Give all figures as one table."""
        return "\n".join((title, "", *map(_line, self.figures)))

    def write(self, path: Path, **about: Any) -> None:
        """Write all figures as JSON, to compare runs."""
        rows = [figure._asdict() for figure in self.figures]
        path.write_text(json.dumps({**about, "figures": rows}, indent=1, ensure_ascii=False) + "\n")


def _line(figure: Figure) -> str:
    value = f"{figure.value:,.0f}" if abs(figure.value) >= 1000 else f"{figure.value:,.1f}"
    verdict = "" if figure.met is None else "met" if figure.met else "MISSED"
    line = f"{figure.part:24} {figure.what:46} {value:>9} {figure.unit:12} {figure.aim:10} {verdict}"
    return line.rstrip()
