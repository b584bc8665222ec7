"""The page for people: one document without anything from elsewhere, rendered from the report.

Text is escaped where it enters the markup, by `_text`; what the functions here return is markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from html import escape
from importlib import resources

from msgspec import UNSET

from streamd.admin.report import ConnectorReport, GapReport, Report
from streamd.admin.words import age, amount, bare_instant, size

_STYLE = resources.files(__package__).joinpath("page.css").read_text("utf-8")
_SCRIPT = resources.files(__package__).joinpath("page.js").read_text("utf-8")
_TONES = {
    "live": "good",
    "connecting": "busy",
    "snapshot": "busy",
    "degraded": "warn",
    "lost": "bad",
    "refused": "bad",
    "parked": "bad",
    "stopped": "idle",
}
_CONNECTOR_COLUMNS = (
    "Connector",
    "State",
    "Events/s",
    "Lag",
    "In the spool",
    "Open gaps",
    "Complete through (UTC)",
)
_GAP_COLUMNS = ("Connector", "From (UTC)", "To (UTC)", "Cause", "Events", "State", "May be missing")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


SECURITY_POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy that lets this page work, and nothing else in it."""


def render(report: Report) -> str:
    """Give the whole document."""
    word, tone = _verdict(report)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>streamd: {_text(word)}</title>
<noscript><meta http-equiv="refresh" content="5"></noscript>
<style>{_STYLE}</style>
</head>
<body>
<header><h1>streamd</h1>{_pill(word, tone)}
<span class="soft">{_text(report.version)}, up {age(report.now - report.started)}</span></header>
<p id="unreachable" class="bad" role="alert" hidden></p>
<main>
<div class="cards">{_kafka(report)}{_spool(report)}</div>
<h2>Connectors</h2>
{_connectors(report)}
<h2>Gaps that are open or not healed</h2>
{_gaps(report)}
</main>
<footer>As of {_time(report.now)} UTC, renewed every 2 seconds.
The same as <a href="/status">JSON</a>; the numbers for <a href="/metrics">Prometheus</a>.</footer>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _verdict(report: Report) -> tuple[str, str]:
    """Sum it all up in a few words and their colour."""
    states = [connector.state for connector in report.connectors.values()]
    live = states.count("live")
    if report.draining:
        return "draining", "warn"
    if report.spool.disk_full:
        return "disk full", "bad"
    if not states:
        return "no connectors", "idle"
    if live < len(states):
        return f"{live} of {len(states)} live", "bad" if not live else "warn"
    return ("all live", "good") if report.kafka.connected else ("all live, Kafka away", "warn")


def _kafka(report: Report) -> str:
    kafka = report.kafka
    pill = _pill("connected", "good") if kafka.connected else _pill("away", "bad")
    lines = [] if kafka.reason is None else [f"<p>{_text(kafka.reason)}</p>"]
    published = sum(connector.rates.published_per_second for connector in report.connectors.values())
    lines.append(f'<p><span class="big">{amount(published)}</span> records/s acknowledged</p>')
    lines.append(
        f'<p class="soft">Batches on their way: {amount(kafka.in_flight)}.'
        f" Producers replaced: {amount(kafka.rebuilds)}.</p>"
    )
    troubles = {**kafka.warnings, **kafka.stuck}
    if troubles:
        items = (f"<li><code>{_text(name)}</code>: {_text(why)}</li>" for name, why in troubles.items())
        lines.append(f"<ul>{''.join(items)}</ul>")
    return f'<section class="card"><h2>Kafka {pill}</h2>{"".join(lines)}</section>'


def _spool(report: Report) -> str:
    spool = report.spool
    pill = _pill("disk full", "bad") if spool.disk_full else _pill("accepting", "good")
    left = (
        f'<p class="soft">{amount(count)} of {_text(name)}, which runs no more</p>'
        for name, count in spool.left.items()
    )
    return (
        f'<section class="card"><h2>Spool {pill}</h2>'
        f'<p><span class="big">{amount(spool.events)}</span> records wait for Kafka</p>'
        f"<p>{_meter(spool.bytes, spool.max_bytes, 'Spool used')}</p>"
        f'<p class="soft">{size(spool.bytes)} of {size(spool.max_bytes)},'
        f" epoch <code>{_text(spool.epoch)}</code></p>{''.join(left)}</section>"
    )


def _connectors(report: Report) -> str:
    if not report.connectors:
        return '<p class="none">None is configured and enabled: nothing is received.</p>'
    rows = (_connector(name, connector) for name, connector in report.connectors.items())
    return _table("Connectors", _CONNECTOR_COLUMNS, {2, 3, 5}, rows)


def _connector(name: str, connector: ConnectorReport) -> list[str]:
    spool, through = connector.spool, connector.complete_through
    lag = connector.lag_seconds
    return [
        f"{_text(name)}<small>{_text(connector.vendor)}</small>",
        f"<div>{_state(connector.state)}{_reasons(connector)}</div>",
        amount(connector.rates.events_per_second),
        "unknown" if lag is None else age(timedelta(seconds=lag)),
        f"<div>{amount(spool.events)} records, {size(spool.bytes)}"
        f"{_meter(spool.bytes, spool.share, f'Share of {name} used')}</div>",
        amount(connector.open_gaps),
        "nothing yet" if through is None else _time(through),
    ]


def _reasons(connector: ConnectorReport) -> str:
    """Say why it is so, session by session where there are several."""
    if len(connector.sessions) > 1:
        items = (
            f"<li>{_state(session.state)} {_text(name)}{_reason(session.reason)}</li>"
            for name, session in connector.sessions.items()
        )
        return f'<ul class="sessions">{"".join(items)}</ul>'
    return _reason(connector.reason if connector.reason != connector.state else None)


def _reason(reason: str | None) -> str:
    return "" if reason is None else f'<small class="reason">{_text(reason)}</small>'


def _gaps(report: Report) -> str:
    gaps = [(name, gap) for name, connector in report.connectors.items() for gap in connector.gaps]
    if not gaps:
        return '<p class="none">None.</p>'
    newest = datetime.max.replace(tzinfo=report.now.tzinfo)
    gaps.sort(key=lambda named: named[1].data.to or newest, reverse=True)
    return _table("Gaps", _GAP_COLUMNS, set(), (_gap(name, gap) for name, gap in gaps))


def _gap(connector: str, gap: GapReport) -> list[str]:
    data = gap.data
    count = "" if data.count is UNSET else f", {amount(data.count)}"
    return [
        f"{_text(connector)}<small>{_text(gap.session)}</small>",
        "the beginning" if data.from_ is None else _time(data.from_),
        _pill("open", "bad") if data.to is None else _time(data.to),
        _text(data.cause.replace("_", " ")),
        f"{_text(data.events)}{count}",
        "none kept" if data.state is None else _text(data.state),
        _text("everything" if data.scope == ["*"] else ", ".join(data.scope)),
    ]


def _table(caption: str, columns: tuple[str, ...], numbers: set[int], rows: Iterable[list[str]]) -> str:
    """Lay out rows of markup; the first cell of each names its row. The roles stay where a phone's style
    makes blocks of the cells, which would take them away."""

    def numeric(index: int) -> str:
        return ' class="number"' if index in numbers else ""

    head = "".join(
        f'<th scope="col" role="columnheader"{numeric(index)}>{_text(column)}</th>'
        for index, column in enumerate(columns)
    )
    body = "".join(
        f'<tr role="row"><th scope="row" role="rowheader">{cells[0]}</th>'
        + "".join(
            f'<td role="cell" data-label="{_text(columns[index])}"{numeric(index)}>{cell}</td>'
            for index, cell in enumerate(cells[1:], start=1)
        )
        + "</tr>"
        for cells in rows
    )
    return (
        f'<table role="table"><caption>{_text(caption)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
    )


def _time(at: datetime) -> str:
    return f'<time datetime="{at.isoformat()}">{bare_instant(at)}</time>'


def _state(state: str) -> str:
    return _pill(state, _TONES[state])


def _pill(word: str, tone: str) -> str:
    return f'<span class="pill {tone}">{_text(word)}</span>'


def _meter(value: int, most: int, label: str) -> str:
    most = max(most, 1)
    return (
        f'<meter min="0" max="{most}" low="{most // 2}" high="{most * 9 // 10}" optimum="0"'
        f' value="{min(value, most)}" aria-label="{_text(label)}"></meter>'
    )


def _text(text: str) -> str:
    return escape(text, quote=True)
