"""The recordings that run, and those that run no more and have not come up among the finished; pure.

A link (call id and start second) has one entry, with the temporary ids that were seen under it: recordings
may share a call. It goes when as many have come up finished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct, field

from streamd.connectors.oracle_isr.normalise import LinkName, link_name
from streamd.connectors.oracle_isr.wire import Tree, call_ids, live_id, start_second, text_of
from streamd.keyed_set import KeyedSet

PREFIX = "running/"


class Running(Struct, array_like=True):
    """One link."""

    link: LinkName
    tree: dict[str, Any]
    """What a list last said of it."""
    ids: list[str]
    """The temporary ids seen."""
    finished: list[str] = field(default_factory=list)
    """The ids under which it came up finished."""
    gone_at: datetime | None = None
    """When it was found to run no more, by the server's clock."""
    looked: int = 0
    """How often it was looked for by itself since."""


class RunningSet:
    """All of them. What changes is given by `take_changes`, for the commit that carries the events."""

    def __init__(self, stored: Mapping[str, bytes]) -> None:
        found = [msgspec.msgpack.decode(value, type=Running) for value in stored.values()]
        self._by_link = {each.link: each for each in found}
        self._aliases: dict[tuple[str, str], LinkName] = {}
        self._by_live_id: dict[str, LinkName] = {}
        for each in found:
            self._remember(each)
        self._live = KeyedSet(each.link for each in found if each.gone_at is None)
        self._changed: set[LinkName] = set()

    def observe(
        self, trees: Iterable[Tree], now: datetime, *, complete: bool, has_ended: Callable[[LinkName], bool]
    ) -> list[Running]:
        """Take in a list of what runs; return what is new.

        `complete`: what is not in it runs no more. A list may lag behind: what has ended is not new.
        """
        self._live.begin()
        new = []
        for tree in trees:
            entry = self.by_live_id(live_id(tree) or "")
            if entry is None and call_ids(tree):
                entry = self.find(tree)
            if entry is None:
                link = link_name(tree)
                if has_ended(link):
                    continue
                entry = Running(link, dict(tree), [])
                self._by_link[link] = entry
                self._remember(entry)
                new.append(entry)
            self._note(entry, live_id(tree) or "")
        if complete:
            for link in self._live.end():
                self._live.gone(link)
                self._by_link[link].gone_at = now
                self._changed.add(link)
        return new

    def find(self, tree: Tree) -> Running | None:
        """Find the entry of a recording, running or finished, by whichever call id its reply carries."""
        for alias in _aliases(tree):
            link = self._aliases.get(alias)
            if link is not None:
                return self._by_link[link]
        return None

    def by_live_id(self, id_: str) -> Running | None:
        """Find the entry under which a temporary id was seen."""
        link = self._by_live_id.get(id_)
        return None if link is None else self._by_link[link]

    def calls(self) -> set[str]:
        """Give the call ids of those that run, or have."""
        return {call for call, _ in self._aliases}

    def finish(self, entry: Running, recording_id: str) -> None:
        """Note that a recording of this link came up finished."""
        if recording_id not in entry.finished:
            entry.finished.append(recording_id)
        if len(entry.finished) >= len(entry.ids):
            self.remove(entry)
        else:
            self._changed.add(entry.link)

    def look(self, entry: Running) -> None:
        """Note that a missing one was looked for by itself."""
        entry.looked += 1
        self._changed.add(entry.link)

    def remove(self, entry: Running) -> None:
        """Know an entry no more."""
        self._by_link.pop(entry.link, None)
        for alias in _aliases(entry.tree):
            if self._aliases.get(alias) == entry.link:
                del self._aliases[alias]
        for id_ in entry.ids:
            self._by_live_id.pop(id_, None)
        self._live.gone(entry.link)
        self._changed.add(entry.link)

    def missing(self) -> list[Running]:
        """Give those that run no more, the earliest first."""
        found = [each for each in self._by_link.values() if each.gone_at is not None]
        return sorted(found, key=lambda each: (each.gone_at, each.link))

    def oldest_missing(self) -> datetime | None:
        """Give when the first of them was found to run no more."""
        return min((each.gone_at for each in self._by_link.values() if each.gone_at), default=None)

    def take_changes(self) -> dict[str, bytes | None]:
        """Give what has changed since the last time, as changes of the keyed state."""
        changed, self._changed = self._changed, set()
        found: dict[str, bytes | None] = {}
        for link in changed:
            entry = self._by_link.get(link)
            found[f"{PREFIX}{link}"] = None if entry is None else msgspec.msgpack.encode(entry)
        return found

    def __len__(self) -> int:
        return len(self._by_link)

    def _note(self, entry: Running, seen_id: str) -> None:
        self._live.seen(entry.link)
        if seen_id not in entry.ids:
            entry.ids.append(seen_id)
            self._by_live_id[seen_id] = entry.link
            self._changed.add(entry.link)
        if entry.gone_at is not None:
            entry.gone_at, entry.looked = None, 0
            self._changed.add(entry.link)

    def _remember(self, entry: Running) -> None:
        for alias in _aliases(entry.tree):
            self._aliases.setdefault(alias, entry.link)
        self._by_live_id.update(dict.fromkeys(entry.ids, entry.link))


def _aliases(tree: Tree) -> Iterator[tuple[str, str]]:
    """Give what a recording may be found by: its call ids; where a reply has none, who spoke with whom."""
    second = start_second(tree)
    found = call_ids(tree)
    for each in found:
        yield each, second
    if not found:
        yield f"{text_of(tree, 'ani')}>{text_of(tree, 'dnis')}", second
