"""The calls of all monitored users: what each user's events add up to, and which a snapshot lacks.

A snapshot and the live events race, and nothing on the wire orders them (vendors/o2g.md, 1.8 and section 5,
12). So a snapshot's view of a call takes the changes again that came since the channel was opened: they are
idempotent in their order, whether it was taken before or after them. It does not bring back a call that was
removed since, nor touch one that began since, of which the events say all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from datetime import datetime
from operator import attrgetter
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from streamd.connectors.o2g.entities import Call, Leg, Participant
from streamd.connectors.o2g.normalise import call_state_of, removal
from streamd.connectors.o2g.telephony import (
    CallCreated,
    CallModified,
    CallRemoved,
    CallStateData,
    Reason,
    UserSnapshot,
    call_state,
)
from streamd.model import Event, Phase, State

Items = list[Event | State]
Changes = MutableMapping[str, bytes | None]
T = TypeVar("T", Leg, Participant)

PREFIX = "call/"
_device: Callable[[Leg], str | None] = attrgetter("device_id")
_participant: Callable[[Participant], str | None] = attrgetter("participant_id")
_names: Callable[[CallCreated | CallModified | CallRemoved], tuple[str, str]] = attrgetter(
    "login_name", "call_ref"
)
_decode_name = msgspec.json.Decoder(tuple[str, str]).decode


class Row(Struct):
    """One call of one user. `data` is None after a restart, until something is heard of it.

    `stale`: known before the channel was opened, and not heard of since. `whole`: `data` stands on a snapshot
    of this session, or on the call's beginning. `since`: while it does not, the changes that came since the
    channel was opened.
    """

    data: CallStateData | None = None
    stale: bool = False
    whole: bool = False
    since: list[CallModified] = field(default_factory=list)


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
            row.stale, row.whole, row.since = True, False, []

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
        data.call_state = call_state(data.call_data)
        state = _told(login, ref, data)
        row = self._heard(login, user, ref, changes)
        row.data, row.whole, row.since = state, True, []
        items.append(call_state_of(login, ref, state, received))

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
        state = row.data = merged(row.data, data)
        data.call_state = state.call_state
        # A change on top of what was before the gap, or of nothing, would be a state that never was.
        if row.whole or not user.awaited:
            items.append(call_state_of(login, ref, state, received))

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
                items.append(call_state_of(login, ref, row.data, received))
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
        state = _told(login, ref, call)
        for change in row.since:
            state = merged(state, change)
        row.data, row.whole, row.since = state, True, []
        items.append(call_state_of(login, ref, state, received))

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


def _told(login: str, ref: str, call: CallCreated | Call) -> CallStateData:
    """Give the call as it is told whole."""
    return CallStateData(
        login_name=login,
        call_ref=ref,
        call_state=call_state(call.call_data),
        call_data=call.call_data,
        legs=call.legs,
        participants=call.participants,
    )


def merged(state: CallStateData | None, change: CallModified) -> CallStateData:
    """Give the call as it is after `change`; nothing of `state` is altered."""
    state = state or CallStateData()
    call_data = change.call_data or state.call_data
    legs, participants = state.legs, state.participants
    if change.modified_legs or change.added_legs or change.removed_legs:
        gone = [leg.device_id for leg in change.removed_legs or ()]
        legs = _merged(legs, change.modified_legs, change.added_legs, gone, _device)
    left = change.removed_participant_ids or ()
    if change.modified_participants or change.added_participants or left:
        participants = _merged(
            participants, change.modified_participants, change.added_participants, left, _participant
        )
    return CallStateData(
        login_name=change.login_name,
        call_ref=change.call_ref,
        call_state=call_state(call_data),
        call_data=call_data,
        legs=legs,
        participants=participants,
    )


def _merged(
    before: list[T] | None,
    modified: list[T] | None,
    added: list[T] | None,
    gone: Collection[str | None],
    name: Callable[[T], str | None],
) -> list[T]:
    """Give the list with the changed ones in their old places, the new ones behind, the gone left out."""
    found: dict[str | None, T] = {name(e): e for part in (before, modified, added) for e in part or ()}
    for each in gone:
        found.pop(each, None)
    return list(found.values())


def _name(login: str, ref: str) -> str:
    return f"{PREFIX}{login}|{ref}"
