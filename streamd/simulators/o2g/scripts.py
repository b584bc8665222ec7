"""Tell how calls go, step by step: each script is a generator that rests between two steps.

The basic call and the unsupervised transfer are chapters 8 and 9 of the vendor's guide (seed 004).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from streamd.simulators.o2g.administration import Administration
from streamd.simulators.o2g.contact_center import ContactCenter
from streamd.simulators.o2g.exchange import Exchange
from streamd.simulators.o2g.people import Pilot, User, outsider
from streamd.simulators.o2g.telephony import Telephony

Script = Iterator[None]

_CALLS_TO_PAUSE = 4  # ACD calls of an agent before his pause, and again before his withdrawal


@dataclass(eq=False)
class Stage:
    """Where scripts play: the exchange and all that can be done to it."""

    exchange: Exchange
    telephony: Telephony = field(init=False)
    center: ContactCenter = field(init=False)
    administration: Administration = field(init=False)

    def __post_init__(self) -> None:
        self.telephony = Telephony(self.exchange)
        self.center = ContactCenter(self.exchange, self.telephony)
        self.administration = Administration(self.exchange)


def basic_call(stage: Stage, first: User, second: User, _third: User) -> Script:
    """Chapter 8: `first` calls `second`, who answers; `first` releases."""
    phone = stage.telephony
    call = phone.dial(first, second)
    yield
    phone.ring(call, second)
    yield
    phone.answer(call)
    yield
    phone.hang_up(call, first)
    yield
    phone.acknowledge(call)
    yield


def transfer(stage: Stage, first: User, second: User, third: User) -> Script:
    """Chapter 9: `first` talks with `second` and transfers him to `third`, who answers; `second` releases."""
    phone = stage.telephony
    call = phone.dial(first, second)
    yield
    phone.ring(call, second)
    yield
    phone.answer(call)
    yield
    after = phone.transfer(call, first, third)
    yield
    phone.answer(after)
    yield
    phone.hang_up(after, second)
    yield
    phone.acknowledge(after)
    yield


def held_call(stage: Stage, first: User, second: User, _third: User) -> Script:
    phone = stage.telephony
    call = phone.dial(first, second)
    phone.ring(call, second)
    yield
    phone.answer(call)
    yield
    phone.hold(call, second)
    yield
    phone.retrieve(call, second)
    yield
    phone.hang_up(call, second)
    yield
    phone.acknowledge(call)
    yield


def abandoned_call(stage: Stage, first: User, second: User, _third: User) -> Script:
    """`first` gives up before `second` answers, who has missed a call."""
    phone = stage.telephony
    call = phone.dial(first, second)
    yield
    phone.ring(call, second)
    yield
    phone.hang_up(call, first)
    phone.acknowledge(call)
    yield


def redirected_call(stage: Stage, first: User, second: User, third: User) -> Script:
    """`second` does not answer: the call goes on to `third`."""
    phone = stage.telephony
    call = phone.dial(first, second)
    phone.ring(call, second)
    yield
    phone.redirect(call, third)
    yield
    phone.answer(call)
    yield
    phone.release(call, third)
    yield


def conference(stage: Stage, first: User, second: User, third: User) -> Script:
    phone = stage.telephony
    call = phone.dial(first, second)
    phone.ring(call, second)
    yield
    phone.answer(call)
    yield
    phone.confer(call, third)
    yield
    phone.hang_up(call, first)
    yield
    phone.release(call, second)
    yield


def incoming_call(stage: Stage, first: User, _second: User, _third: User) -> Script:
    """Somebody outside calls `first` and hangs up after the talk."""
    phone, caller = stage.telephony, outsider(stage.exchange.random)
    call = phone.dial(caller, first)
    phone.ring(call, first)
    yield
    phone.answer(call)
    yield
    phone.hang_up(call, caller)
    yield
    phone.acknowledge(call)
    yield


def office_life(stage: Stage, first: User, second: User, _third: User) -> Script:
    """What happens beside calls: routing, a device that fails, objects of the OXE, a route request."""
    office = stage.administration
    office.set_routing(first, forward_to=second.number)
    yield
    office.set_routing(first)
    office.set_hunting(first, logon=True)
    yield
    office.set_device_state(second, "OUT_OF_SERVICE")
    yield
    office.set_device_state(second, "IN_SERVICE")
    office.rename(first, first.first, first.last)
    yield
    office.change_object("Modified", "Subscriber", first.number)
    office.route_request()
    yield


def acd_call(stage: Stage, user: User, pilot: Pilot) -> Script:
    """One call from a pilot to a READY agent, his wrap-up included."""
    center, phone = stage.center, stage.telephony
    ref = center.arrive(pilot, outsider(stage.exchange.random))
    yield
    call = center.distribute(pilot, ref, user)
    yield
    center.answer(pilot, call, user)
    yield
    phone.hang_up(call, call.parties[0])
    center.finish(pilot, user)
    yield
    phone.acknowledge(call)
    center.enter(user, "READY")
    yield


def agent_day(stage: Stage, user: User, pilot: Pilot, more: Callable[[], bool]) -> Script:
    """Log on, take calls, pause, take calls, withdraw, take calls while there are `more`, log off."""
    center = stage.center
    center.log_on(user)
    yield
    for rest, reason in (("PAUSE", None), ("WITHDRAW", 2), ("", None)):
        for _ in range(_CALLS_TO_PAUSE):
            if more():
                yield from acd_call(stage, user, pilot)
        if rest:
            center.enter(user, rest, reason)
            yield
            center.enter(user, "READY")
            yield
    center.set_skill(user, 101, 1 + len(rest) % 3)
    yield
    center.log_off(user)
    yield


# name -> script of up to three users, and how often it is played of all
CALL_SCRIPTS: Mapping[str, tuple[Callable[[Stage, User, User, User], Script], int]] = {
    "basic-call": (basic_call, 40),
    "transfer": (transfer, 12),
    "held-call": (held_call, 10),
    "incoming-call": (incoming_call, 15),
    "abandoned-call": (abandoned_call, 8),
    "redirected-call": (redirected_call, 6),
    "conference": (conference, 4),
    "office-life": (office_life, 5),
}
