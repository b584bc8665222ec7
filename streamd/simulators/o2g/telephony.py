"""Let users call, answer, hold, transfer and hang up, and tell each of them what he sees of it.

The order of events is that of the vendor's guide, chapters 8 and 9 (seed 004; vendors/o2g.md section 2.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamd.simulators.o2g.calls import CallView
from streamd.simulators.o2g.exchange import Exchange
from streamd.simulators.o2g.people import Party, User
from streamd.simulators.o2g.records import Records


@dataclass(eq=False)
class Call:
    """One call: who is in it (those who ring included), in the order in which they came."""

    ref: str
    base: dict[str, Any]
    parties: list[Party] = field(default_factory=list)
    ringing: Party | None = None
    answered: bool = False

    def others(self, party: Party) -> list[Party]:
        return [each for each in self.parties if each is not party]


class Telephony:
    """What can happen to calls; each action queues its events (`Exchange.emit`) and none of them waits."""

    def __init__(self, exchange: Exchange) -> None:
        self.calls: dict[str, Call] = {}
        self.started = 0
        self._exchange = exchange
        self._records = Records(exchange)

    def find(self, ref: str) -> Call:
        """Return the call with that reference; ValueError when there is none."""
        call = self.calls.get(ref)
        if call is None:
            raise ValueError(f"{ref!r} is no call")
        return call

    # Setting up

    def dial(self, caller: Party, callee: Party, more: Mapping[str, Any] | None = None) -> Call:
        """Let `caller` go off-hook and dial: he is BUSY from here on. `more` goes into callData."""
        self.started += 1
        base: dict[str, Any] = {"initialCalled": {"id": {"phoneNumber": callee.number}}, **(more or {})}
        if self._exchange.options.correlator_bytes:
            base["associatedData"] = f"{self.started:0{self._exchange.options.correlator_bytes}d}"
        call = Call(self._exchange.new_ref(), base, [caller])
        self.calls[call.ref] = call
        if isinstance(caller, User):
            known = [callee] if self._exchange.faults.has("caller-participants") else []
            self._create(call, caller, "DIALING", known)
        return call

    def ring(self, call: Call, callee: Party, cause: str = "") -> None:
        """Let `callee` ring; the others see him as a participant from here on."""
        here = list(call.parties)
        call.parties.append(callee)
        call.ringing = callee
        if isinstance(callee, User):
            self._create(call, callee, "RINGING_INCOMING", here, cause)
        for each in here:
            self._modify(call, each, "RINGING_OUTGOING", add=self._participants([callee]))
        self._records.begin(call.ref, call.parties)

    def answer(self, call: Call) -> None:
        """Let who rings answer: his stream first, then the others'."""
        if call.ringing is None:
            raise ValueError(f"nobody rings in {call.ref}")
        callee, call.ringing, call.answered = call.ringing, None, True
        for each in (callee, *call.others(callee)):
            self._modify(call, each, "ACTIVE")
        self._records.answer(call.ref)

    # Talking

    def hold(self, call: Call, by: User) -> None:
        """Let `by` put the others on hold: both sides see the call as HELD."""
        for each in (by, *call.others(by)):
            self._modify(call, each, "HELD")

    def retrieve(self, call: Call, by: User) -> None:
        for each in (by, *call.others(by)):
            self._modify(call, each, "ACTIVE")

    def transfer(self, call: Call, by: User, to: User) -> Call:
        """Let `by` send the other party to `to` unsupervised; return the call as it goes on.

        The other is held, `to` rings, the call of `by` is released. The other keeps his callRef, or gets a
        new one with previousCallRef, by switch (row 18).
        """
        other = next(iter(call.others(by)))
        self._modify(call, other, "HELD")
        new = self._exchange.new_ref() if self._exchange.faults.has("transfer-new-callref") else ""
        after = Call(new or call.ref, {**call.base, "lastRedirecting": by.party()}, [other, to], to, False)
        self.calls[after.ref] = after
        self._create(after, to, "RINGING_INCOMING", [other], "TRANSFERRED")
        self._modify(
            call,
            other,
            "RINGING_OUTGOING",
            add=self._participants([to]),
            remove=[by],
            cause="TRANSFERRED",
            new_ref=new,
        )
        if new:
            self._modify(call, by, "RELEASING", replaced_by=new)
            self._forget(call)
        self._remove(call, by, "TRANSFERRED")
        self._records.move(call.ref, after.ref, by, to)
        return after

    def redirect(self, call: Call, to: User) -> None:
        """Let the call leave who rings, because he does not answer, for `to`."""
        if call.ringing is None:
            raise ValueError(f"nobody rings in {call.ref}")
        absent = call.ringing
        call.parties.remove(absent)
        call.base["lastRedirecting"] = absent.party()
        self._remove(call, absent, "NOT_ANSWERED", to)
        caller = call.parties[0]
        call.parties.append(to)
        call.ringing = to
        self._create(call, to, "RINGING_INCOMING", [caller], "REDIRECTED")
        self._modify(
            call,
            caller,
            "RINGING_OUTGOING",
            add=self._participants([to]),
            remove=[absent],
            cause="REDIRECTED",
        )

    def confer(self, call: Call, third: User) -> None:
        """Take `third` into a call that is active; participants have a state from here on."""
        here = list(call.parties)
        call.parties.append(third)
        style = self._exchange.style
        view = CallView(
            third, call.ref, "ACTIVE", [style.participant(each, "ACTIVE") for each in here], call.base
        )
        self._tell(third, view.created("CONFERENCED"))
        for each in here:
            others = [style.participant(other, "ACTIVE") for other in here if other is not each]
            self._modify(
                call,
                each,
                "ACTIVE",
                add=[style.participant(third, "ACTIVE")],
                change=others,
                cause="CONFERENCED",
            )

    # Ending

    def hang_up(self, call: Call, by: Party) -> None:
        """Let `by` leave. Among three the others go on; of two the other is left RELEASING."""
        others = call.others(by)
        if by is call.ringing:
            call.ringing = None
        cause = "" if call.answered else "ABANDONED"
        if self._exchange.faults.has("releasing-both"):
            self._modify(call, by, "RELEASING")
        self._remove(call, by)
        call.parties.remove(by)
        if len(others) > 1:
            for each in others:
                self._modify(call, each, "ACTIVE", remove=[by], cause="PARTICIPANT_LEFT")
            return
        for each in others:
            self._modify(call, each, "RELEASING", remove=[by], cause=cause)

    def acknowledge(self, call: Call) -> None:
        """Let who is left put down, too: the call is over."""
        for each in list(call.parties):
            self._remove(call, each, "" if call.answered else "ABANDONED")
        self._records.end(call.ref, answered=call.answered)
        call.parties.clear()
        self._forget(call)

    def release(self, call: Call, by: Party) -> None:
        """Hang up and acknowledge; among three only `by` leaves."""
        self.hang_up(call, by)
        if len(call.parties) < 2:
            self.acknowledge(call)

    # Views

    def _create(
        self, call: Call, user: User, state: str, participants: Sequence[Party], cause: str = ""
    ) -> None:
        view = CallView(user, call.ref, state, self._participants(participants), call.base)
        self._tell(user, view.created(cause))

    def _modify(
        self, call: Call, party: Party, state: str, *, remove: Sequence[Party] = (), **more: Any
    ) -> None:
        view = party.calls.get(call.ref) if isinstance(party, User) else None
        if view is None:
            return
        style = self._exchange.style
        ids = [style.participant_id(each) for each in remove]
        self._tell(view.user, view.modify(style, state, remove=ids, **more))

    def _remove(self, call: Call, party: Party, cause: str = "", to: Party | None = None) -> None:
        view = party.calls.get(call.ref) if isinstance(party, User) else None
        if view is not None:
            self._tell(view.user, view.removed(cause, to))

    def _tell(self, user: User, event: Mapping[str, Any]) -> None:
        self._exchange.emit("telephony", user.login, event)
        busy = any(not view.alerting for view in user.calls.values())
        self.set_state(user, "BUSY" if busy else "FREE")

    def set_state(self, user: User, state: str) -> None:
        """Bring the user to `state` and tell it when that is news."""
        if user.state != state:
            user.state = state
            event = {"eventName": "OnUserStateModified", "loginName": user.login, "state": state}
            self._exchange.emit("telephony", user.login, event)

    def _participants(self, parties: Sequence[Party]) -> list[dict[str, Any]]:
        style = self._exchange.style
        return [style.participant(each) for each in parties]

    def _forget(self, call: Call) -> None:
        self.calls.pop(call.ref, None)
        self._exchange.live_refs.discard(call.ref)
