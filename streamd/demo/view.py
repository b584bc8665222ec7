"""What a person sees of the demo: a live table, some events in full, the summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from streamd.demo.reader import Reader
from streamd.demo.verdict import Verdict

_COLOURS = {"live": "green", "snapshot": "cyan", "connecting": "cyan", "degraded": "yellow", "lost": "red"}
_SHOWN = (
    "streamd.measure.upserted",
    "streamd.measure.state",
    "streamd.gap.healed",
    "streamd.connector.progress",
)


def live(status: Mapping[str, Any], reader: Reader, news: str, seconds_left: float) -> Group:
    """Draw the table of this moment."""
    table = Table("connector", "state", "events/s", "topic", "on Kafka", "lag", "spool", title="streamd demo")
    for name, connector in status.get("connectors", {}).items():
        state = connector["state"]
        lag = connector.get("lag_seconds")
        first = (
            name,
            Text(state, _COLOURS.get(state, "magenta")),
            f"{connector['rates']['events_per_second']:.0f}",
        )
        last = ("" if lag is None else f"{lag:.1f} s", f"{connector['spool']['events']} events")
        topics = [topic for topic in sorted(reader.records) if connector["vendor"] in topic] or ["…"]
        for place, topic in enumerate(topics):
            about = (first, last) if place == 0 else (("", "", ""), ("", ""))
            table.add_row(*about[0], topic, str(reader.records[topic]), *about[1])
    for topic in sorted(reader.records):  # copied in one go: the reader's thread adds topics meanwhile
        if ".streamd." in topic:
            table.add_row("", "", "", topic, str(reader.records[topic]), "", "")
    return Group(table, Text(f"{news}   {max(0, seconds_left):.0f} s left", "dim"))


def line(status: Mapping[str, Any], reader: Reader, news: str) -> str:
    """Say the same in a line, for where there is no terminal."""
    parts = [
        f"{name} {connector['state']} {connector['rates']['events_per_second']:.0f} events/s"
        f" spool {connector['spool']['events']}"
        for name, connector in status.get("connectors", {}).items()
    ]
    return "; ".join([*(parts or ["starting"]), f"{sum(reader.records.values())} records on Kafka", news])


def show_events(console: Console, reader: Reader) -> None:
    """Print one event of some types in full, as they are on Kafka."""
    for kind in _SHOWN:
        if kind in reader.samples:
            text = json.dumps(reader.samples[kind], indent=2, ensure_ascii=False)
            body = Syntax(text, "json", background_color="default") if console.is_terminal else text
            console.print(Panel(body, title=kind) if console.is_terminal else f"\n{kind}\n{body}")


def show_summary(console: Console, reader: Reader, verdict: Verdict, log: str | None) -> None:
    """Print what was counted by reading the topics; `log`: the daemon's, where something is wrong."""
    table = Table("counted on the Kafka side", "", title="summary")
    for topic, records in sorted(reader.records.items()):
        table.add_row(topic, f"{records} records")
    table.add_section()
    table.add_row("sent by the simulators", f"{verdict.sent} events")
    table.add_row("of these on Kafka", str(verdict.on_kafka))
    table.add_row("of these lost with a link, inside a declared gap", str(verdict.in_gaps))
    table.add_row(
        "of these missing without a word", Text(str(verdict.missing), "green" if verdict.holds else "red")
    )
    table.add_row("numbers missing in a sequence", str(reader.missing_numbers()))
    table.add_row("records that came twice, with the same id", str(reader.duplicates))
    table.add_row("gaps declared", str(len(reader.gaps)))
    console.print(table)
    if reader.failure is not None:
        console.print(f"Kafka could not be read: {reader.failure}", style="red")
    if log is None:
        console.print("Every event that the simulators sent is on Kafka or in a declared gap.", style="green")
    else:
        console.print(f"That is not what was promised. The daemon's log is in {log}", style="red")
