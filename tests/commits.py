"""Every commit of a spool, in the order in which they were made: what a crash right behind it leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from streamd.spool.store import Commit, Store


class Made(NamedTuple):
    """One commit: its events, states left out, its changes of the keyed state, and what it proves."""

    events: list[dict[str, Any]]
    changes: dict[str, bytes | None]
    alive: datetime | None


class Left(NamedTuple):
    """What a crash right behind one commit leaves."""

    events: list[dict[str, Any]]
    state: dict[str, bytes]
    alive: datetime | None


def watch(monkeypatch: pytest.MonkeyPatch) -> list[Made]:
    """Give a list that gets each commit from now on, of one connector's spool."""
    made: list[Made] = []
    commit = Store.commit

    def note(store: Store, one: Commit) -> None:
        commit(store, one)
        values = [
            record.value
            for row in one.rows
            for record in row.records or ()
            if record.value is not None and not row.topic.endswith(".state")
        ]
        changes = {name: value for (_, name), value in one.changes.items()}
        alive = max((at for at in one.alive.values() if at is not None), default=None)
        made.append(Made([json.loads(value) for value in values], changes, alive))

    monkeypatch.setattr(Store, "commit", note)
    return made


def crashes(made: list[Made]) -> Iterator[Left]:
    """Give what is left behind each commit, the first first."""
    events: list[dict[str, Any]] = []
    state: dict[str, bytes] = {}
    alive: datetime | None = None
    for one in made:
        events.extend(one.events)
        alive = one.alive or alive
        for name, value in one.changes.items():
            if value is None:
                state.pop(name, None)
            else:
                state[name] = value
        yield Left(events, state, alive)
