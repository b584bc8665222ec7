"""From lines to what is published: decode, apply privacy, normalise, merge. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from streamd.connectors.o2g.administration import ChannelInformation, Maintenance, RoutingService, Unknown
from streamd.connectors.o2g.agents import Agents
from streamd.connectors.o2g.calls import Calls, Changes, Items
from streamd.connectors.o2g.catalogue import CHANNEL_INFORMATION
from streamd.connectors.o2g.config import O2gPrivacy
from streamd.connectors.o2g.contact_center import AgentStateChanged, RoutingStateChanged
from streamd.connectors.o2g.normalise import Normaliser
from streamd.connectors.o2g.resync import Resync
from streamd.connectors.o2g.telephony import CallCreated, CallModified, CallRemoved, UserSnapshot
from streamd.connectors.o2g.wire import decode_message, objects, unusual, usual
from streamd.errors import BadRecord
from streamd.lenient import Entity
from streamd.model import Event, Phase
from streamd.privacy import Privacy
from streamd.transport.lines import TooLong

HEARTBEAT = "keepalive"
_USERS = frozenset(("OnUserCreated", "OnUserDeleted"))


class Batch(Struct):
    """What some lines came to. `maintenance` are events of package `system` among them; `users`: somebody
    came or went; `counts` are for the metrics."""

    items: Items = field(default_factory=list)
    changes: Changes = field(default_factory=dict)
    maintenance: list[Maintenance] = field(default_factory=list)
    users: bool = False
    heartbeat: bool = False
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


class Flow:
    """The way of one connector's lines, over the life of its session."""

    def __init__(
        self,
        packages: Iterable[str],
        calls: Calls,
        agents: Agents,
        privacy: O2gPrivacy,
        dead_letter: Callable[[BadRecord], Event],
        origin: str,
    ) -> None:
        self.calls = calls
        self.agents = agents
        self.resync = Resync({})
        self._packages = frozenset(packages)
        self._normaliser = Normaliser(self._packages)
        self._privacy = Privacy(privacy)
        # The defaults are about one event; the operator's rules may be about any.
        self._all_are_private = bool(privacy.rules_set)
        self._dead_letter = dead_letter
        self._origin = origin

    def begin(self, expected: Mapping[str, frozenset[str]]) -> None:
        """Open a channel: everything that is known waits for the snapshots of `expected` (login names)."""
        published = {package: frozenset(map(self.published, logins)) for package, logins in expected.items()}
        self.resync = Resync(published)
        self.resync.begin()
        self.calls.begin(published.get("telephony", frozenset()))
        self.agents.begin()

    def read(self, lines: Sequence[bytes | TooLong], received: datetime) -> Batch:
        """Read lines that were received together."""
        batch = Batch()
        for line in lines:
            event = None if self._all_are_private else usual(line)
            if event is not None:
                self._take(event, received, batch)
            else:
                for each in self._unusual(line):
                    self._take(each, received, batch)
        return batch

    def read_state(self, message: Mapping[str, Any], received: datetime) -> Batch:
        """Read the state of a user that was asked for over REST, in the shape of its event."""
        batch = Batch()
        self._take(decode_message(self._privacy.apply(message), self._origin), received, batch)
        return batch

    def forget(self, users: Iterable[str], agents: Iterable[str], received: datetime) -> Batch:
        """End what is known of the calls of `users` and of `agents` who are gone (login names)."""
        batch = Batch()
        self.calls.forget(map(self.published, users), received, batch.items, batch.changes)
        self.agents.forget(map(self.published, agents), received, batch.items, batch.changes)
        return batch

    def end_waiting(self, received: datetime) -> Batch:
        """End the calls and agents that a whole snapshot lacks because nobody monitors them any more."""
        batch = Batch()
        self.calls.forget_unheard(self.resync.expected("telephony"), received, batch.items, batch.changes)
        if "agent" in self._packages:
            self.agents.retire(received, batch.items, batch.changes)
        return batch

    def _unusual(self, line: bytes | TooLong) -> list[Entity | BadRecord]:
        if isinstance(line, TooLong):
            return unusual(line, self._origin)
        if not self._all_are_private:
            events = unusual(line, self._origin)
            if RoutingService not in map(type, events):
                return events
        messages = objects(line)
        if messages is None:
            return unusual(line, self._origin)
        return [decode_message(self._privacy.apply(each), self._origin) for each in messages]

    def published(self, login: str) -> str:
        """Give a login as the privacy rules leave it, for that is how it comes back in events."""
        if not self._privacy.rules:
            return login
        return str(self._privacy.apply({"loginName": login})["loginName"])

    def _take(self, event: Entity | BadRecord, received: datetime, batch: Batch) -> None:
        _TAKES.get(type(event), Flow._take_other)(self, event, received, batch)

    def _publish(self, event: Entity, received: datetime, batch: Batch, phase: Phase) -> None:
        batch.items.append(self._normaliser.event(event, received, phase))

    def _take_created(self, event: CallCreated, received: datetime, batch: Batch) -> None:
        items = batch.items
        items.append(self._normaliser.event(event, received, "live"))
        self.calls.created(event, received, items, batch.changes)

    def _take_modified(self, event: CallModified, received: datetime, batch: Batch) -> None:
        items = batch.items
        items.append(self._normaliser.event(event, received, "live"))
        self.calls.modified(event, received, items, batch.changes)

    def _take_removed(self, event: CallRemoved, received: datetime, batch: Batch) -> None:
        items = batch.items
        items.append(self._normaliser.event(event, received, "live"))
        self.calls.removed(event, received, items, batch.changes)

    def _take_snapshot(self, event: UserSnapshot, received: datetime, batch: Batch) -> None:
        self._publish(event, received, batch, "snapshot")
        if event.calls is not None:
            self.resync.seen("telephony", event.login_name)
        self.calls.snapshot(event, received, batch.items, batch.changes)

    def _take_agent(self, event: AgentStateChanged, received: datetime, batch: Batch) -> None:
        awaited = self.resync.seen("agent", event.login_name)
        self._publish(event, received, batch, "snapshot" if awaited else "live")
        self.agents.changed(event, received, batch.items, batch.changes)

    def _take_routing(self, event: RoutingStateChanged, received: datetime, batch: Batch) -> None:
        awaited = self.resync.seen("routingManagement", event.login_name)
        self._publish(event, received, batch, "snapshot" if awaited else "live")

    def _take_information(self, event: ChannelInformation, received: datetime, batch: Batch) -> None:
        """Count what the channel says of itself; an ancestor's Message is no event either (1.7)."""
        if event.event_name == CHANNEL_INFORMATION:
            batch.count("channel_informations")
            batch.heartbeat = batch.heartbeat or event.text == HEARTBEAT
        else:
            batch.count("channel_messages")

    def _take_maintenance(self, event: Maintenance, received: datetime, batch: Batch) -> None:
        self._publish(event, received, batch, "live")
        batch.maintenance.append(event)

    def _take_other(self, event: Any, received: datetime, batch: Batch) -> None:
        self._publish(event, received, batch, "live")
        batch.users = batch.users or event.event_name in _USERS

    def _take_bad(self, record: BadRecord, received: datetime, batch: Batch) -> None:
        batch.items.append(self._dead_letter(record))

    def _take_unknown(self, event: Unknown, received: datetime, batch: Batch) -> None:
        self._publish(event, received, batch, "live")
        batch.count("unknown_events")


# One table for all connectors: each its own would fill the caches with what is the same.
_TAKES: Mapping[type, Callable[[Flow, Any, datetime, Batch], None]] = {
    CallModified: Flow._take_modified,
    CallCreated: Flow._take_created,
    CallRemoved: Flow._take_removed,
    UserSnapshot: Flow._take_snapshot,
    AgentStateChanged: Flow._take_agent,
    RoutingStateChanged: Flow._take_routing,
    ChannelInformation: Flow._take_information,
    Maintenance: Flow._take_maintenance,
    Unknown: Flow._take_unknown,
    BadRecord: Flow._take_bad,
}
