"""The calls of all monitored users: what each user's events add up to, and which a snapshot lacks.

A snapshot and the live events race, and nothing on the wire orders them (vendors/o2g.md, 1.8 and section 5,
12). So a snapshot's view of a call takes the changes again that came since the channel was opened: they are
idempotent in their order, whether it was taken before or after them. It does not bring back a call that was
removed since, nor touch one that began since, of which the events say all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import datetime
from operator import attrgetter

import msgspec
from msgspec import Struct, field

from streamd.connectors.o2g.entities import Call
from streamd.connectors.o2g.normalise import call_state_of, removal
from streamd.connectors.o2g.row import Row, as_json
from streamd.connectors.o2g.telephony import (
    CallCreated,
    CallModified,
    CallRemoved,
    Reason,
    UserSnapshot,
    call_state,
)
from streamd.model import Event, Phase, State

Items = list[Event | State]
Changes = MutableMapping[str, bytes | None]

PREFIX = "call/"
_names: Callable[[CallCreated | CallModified | CallRemoved], tuple[str, str]] = attrgetter(
    "login_name", "call_ref"
)
_decode_name = msgspec.json.Decoder(tuple[str, str]).decode


class UserCalls(Struct):
    """The calls of one user; `awaited` from the opening of a channel until his snapshot comes.

    `removed`: those that ended meanwhile.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    awaited: bool = False
    removed: set[str] = field(default_factory=set)

    def begin(self, *, awaited: bool) -> None:
        self.awaited = awaited
        self.removed.clear()
        for row in self.rows.values():
            row.begin()

    def stale(self) -> list[str]:
        """Give the calls that were known before the channel was opened and not heard of since."""
        return sorted(ref for ref, row in self.rows.items() if row.stale)


class Calls:
    """All calls over the life of a session; the keyed state has one name for each.

    Every method appends what is to be published to `items`, and changes of the keyed state to `changes`.
    """

    def __init__(self, known: Mapping[str, bytes]) -> None:
        """Take over the calls known before a restart, as `states(PREFIX)` gives them."""
        self._users: dict[str, UserCalls] = {}
        self._awaited: frozenset[str] = frozenset()
        for value in known.values():
            login, ref = _decode_name(value)
            self._user(login).rows[ref] = Row()

    def begin(self, awaited: frozenset[str]) -> None:
        """Open a channel: the calls of these users wait for their snapshots."""
        self._awaited = awaited
        for login, user in self._users.items():
            user.begin(awaited=login in awaited)

    def created(self, data: CallCreated, received: datetime, items: Items, changes: Changes) -> None:
        """Take a call that begins; one that is known already is replaced."""
        login, ref = _names(data)
        user = self._user(login)
        row = self._heard(login, user, ref, changes)
        row.tell(data)
        items.append(call_state_of(login, ref, row.state(login, ref), received))

    def modified(self, data: CallModified, received: datetime, items: Items, changes: Changes) -> None:
        """Merge a change; with `previous_call_ref` the call moves, and the old one is removed."""
        login, ref = _names(data)
        user = self._user(login)
        row = self._heard(login, user, ref, changes)
        before = data.previous_call_ref
        if before and before != ref:
            # No OnCallRemoved will ever come for that.
            row = user.rows[ref] = user.rows.get(before) or row
            self._retire(login, user, before, "replaced", received, items, changes, ref)
            row.stale = False
        if not row.whole:
            row.since.append(data)
        if data.call_data is not None:
            data.call_state, data.call_data = call_state(data.call_data), as_json(data.call_data)
        row.change(data)
        data.call_state = row.call_state
        # A change on top of what was before the gap, or of nothing, would be a state that never was.
        if row.whole or not user.awaited:
            items.append(call_state_of(login, ref, row.state(login, ref), received))

    def removed(self, data: CallRemoved, received: datetime, items: Items, changes: Changes) -> None:
        """Take the end of a call."""
        login, ref = _names(data)
        data.call_state = "removed"
        self._drop(login, self._user(login), ref, received, items, changes)

    def snapshot(self, data: UserSnapshot, received: datetime, items: Items, changes: Changes) -> None:
        """Take all calls of one user, and remove those known before the channel that it lacks."""
        login, calls = data.login_name, data.calls
        for call in calls or ():
            call.call_state = call_state(call.call_data)
        if not login or calls is None:
            return
        user = self._user(login)
        for call in calls:
            if call.call_ref and call.call_ref not in user.removed:
                self._replace(login, user, call.call_ref, call, received, items, changes)
        for ref in user.stale():
            self._retire(login, user, ref, "absent_from_snapshot", received, items, changes)
        user.awaited = False
        user.removed.clear()
        for ref, row in user.rows.items():
            # What changed and is in no snapshot stands as far as it is known.
            if row.since:
                items.append(call_state_of(login, ref, row.state(login, ref), received))
            row.whole, row.since = True, []

    def forget(self, logins: Iterable[str], received: datetime, items: Items, changes: Changes) -> None:
        """Remove all calls of users who are gone."""
        for login in logins:
            user = self._users.pop(login, None) or UserCalls()
            for ref in sorted(user.rows):
                self._retire(login, user, ref, "user_gone", received, items, changes)

    def forget_unheard(
        self, monitored: frozenset[str], received: datetime, items: Items, changes: Changes
    ) -> None:
        """Remove the calls, known before and not told since, of users who are not `monitored` any more."""
        for login, user in self._users.items():
            for ref in user.stale() if login not in monitored else ():
                self._retire(login, user, ref, "user_gone", received, items, changes)

    def __len__(self) -> int:
        return sum(len(user.rows) for user in self._users.values())

    def _user(self, login: str) -> UserCalls:
        user = self._users.get(login)
        if user is None:
            user = self._users[login] = UserCalls(awaited=login in self._awaited)
        return user

    def _heard(self, login: str, user: UserCalls, ref: str, changes: Changes) -> Row:
        """Give what is known of a call that there is."""
        row = user.rows.get(ref)
        if row is None:
            row = user.rows[ref] = Row()
            user.removed.discard(ref)
            changes[_name(login, ref)] = msgspec.json.encode((login, ref))
        row.stale = False
        return row

    def _replace(
        self,
        login: str,
        user: UserCalls,
        ref: str,
        call: Call,
        received: datetime,
        items: Items,
        changes: Changes,
    ) -> None:
        row = self._heard(login, user, ref, changes)
        if row.whole:
            return
        since = row.since
        row.tell(call)
        for change in since:
            row.change(change)
        items.append(call_state_of(login, ref, row.state(login, ref), received))

    def _retire(
        self,
        login: str,
        user: UserCalls,
        ref: str,
        reason: Reason,
        received: datetime,
        items: Items,
        changes: Changes,
        replaced_by: str | None = None,
    ) -> None:
        phase: Phase = "snapshot" if reason == "absent_from_snapshot" else "live"
        items.append(removal(login, ref, reason, received, phase, replaced_by))
        self._drop(login, user, ref, received, items, changes)

    def _drop(
        self, login: str, user: UserCalls, ref: str, received: datetime, items: Items, changes: Changes
    ) -> None:
        if user.rows.pop(ref, None) is not None:
            changes[_name(login, ref)] = None
        if user.awaited:
            user.removed.add(ref)
        # An unknown call gets its null too: a spool that was lost knew it, perhaps.
        items.append(call_state_of(login, ref, None, received))


def _name(login: str, ref: str) -> str:
    return f"{PREFIX}{login}|{ref}"
