"""Every commit of a spool, in the order in which they were made: what a crash right behind it leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from streamd.spool.store import Commit, Store


class Made(NamedTuple):
    """One commit: its events, states left out, and its changes of the keyed state."""

    events: list[dict[str, Any]]
    changes: dict[str, bytes | None]


class Left(NamedTuple):
    """What a crash right behind one commit leaves."""

    events: list[dict[str, Any]]
    state: dict[str, bytes]


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
        made.append(
            Made([json.loads(value) for value in values], {name: v for (_, name), v in one.changes.items()})
        )

    monkeypatch.setattr(Store, "commit", note)
    return made


def crashes(made: list[Made]) -> Iterator[Left]:
    """Give what is left behind each commit, the first first."""
    left = Left([], {})
    for one in made:
        left.events.extend(one.events)
        for name, value in one.changes.items():
            if value is None:
                left.state.pop(name, None)
            else:
                left.state[name] = value
        yield left
