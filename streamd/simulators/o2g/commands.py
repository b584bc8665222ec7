"""Do to the simulated OXE and its servers what a test asks for; only `drop_channels` waits."""

from __future__ import annotations

from typing import Any

import trio

from streamd.simulators.o2g.calls import telephonic_state
from streamd.simulators.o2g.people import External, Party, User
from streamd.simulators.o2g.scripts import CALL_SCRIPTS, agent_day
from streamd.simulators.o2g.service import Service


def set_rate(service: Service, rate: float) -> None:
    """Let people make `rate` lines a second by themselves; 0: none, inf: as many as the channels take."""
    service.rate = rate
    service.wake()


async def drop_channels(service: Service, mode: str = "fin") -> int:
    """End all channels: `clean`, `fin` or `rst`; return how many, once they are closed.

    A channel that is half-open keeps silent on a clean end.
    """
    chosen = service.channels()
    for channel in chosen:
        channel.end(mode)
    with trio.move_on_after(5):
        for channel in chosen:
            await channel.closed.wait()
    return len(chosen)


# Calls: parties are login names or numbers; a number that is nobody's is somebody outside


def place_call(service: Service, caller: str, callee: str) -> str:
    """Let `caller` call `callee`, who rings; return the call's reference."""
    phone = service.stage.telephony
    to = _party(service, callee)
    call = phone.dial(_party(service, caller), to)
    phone.ring(call, to)
    service.exchange.flush()
    return call.ref


def answer(service: Service, ref: str) -> None:
    service.stage.telephony.answer(service.stage.telephony.find(ref))
    service.exchange.flush()


def hold(service: Service, ref: str, by: str) -> None:
    service.stage.telephony.hold(service.stage.telephony.find(ref), service.exchange.user(by))
    service.exchange.flush()


def retrieve(service: Service, ref: str, by: str) -> None:
    service.stage.telephony.retrieve(service.stage.telephony.find(ref), service.exchange.user(by))
    service.exchange.flush()


def transfer(service: Service, ref: str, by: str, to: str) -> str:
    """Transfer unsupervised, `to` rings; return the reference under which the call goes on."""
    phone, user = service.stage.telephony, service.exchange.user
    after = phone.transfer(phone.find(ref), user(by), user(to))
    service.exchange.flush()
    return after.ref


def redirect(service: Service, ref: str, to: str) -> None:
    service.stage.telephony.redirect(service.stage.telephony.find(ref), service.exchange.user(to))
    service.exchange.flush()


def confer(service: Service, ref: str, third: str) -> None:
    service.stage.telephony.confer(service.stage.telephony.find(ref), service.exchange.user(third))
    service.exchange.flush()


def release(service: Service, ref: str, by: str) -> None:
    """Let `by` hang up, and the last one after him."""
    phone = service.stage.telephony
    call = phone.find(ref)
    leaver = next((each for each in call.parties if by in (each.number, getattr(each, "login", ""))), None)
    if leaver is None:
        raise ValueError(f"{by!r} is not in {ref}")
    phone.release(call, leaver)
    service.exchange.flush()


def play(service: Service, script: str, *who: str) -> None:
    """Play a script to its end: one of `CALL_SCRIPTS` with three users, or ``agent-day`` with an agent."""
    users = [service.exchange.user(login) for login in who]
    if script == "agent-day":
        pilot = next(iter(service.exchange.people.pilots.values()))
        steps = agent_day(service.stage, users[0], pilot, lambda: True)
    else:
        steps = CALL_SCRIPTS[script][0](service.stage, users[0], users[1], users[2])
    for _ in steps:
        service.exchange.flush()
    service.exchange.flush()


# Agents and the rest


def set_agent(service: Service, login: str, state: str, reason: int | None = None) -> None:
    """Bring an agent to a subState (logged on if need be), or to LOG_OFF."""
    user, center = service.exchange.user(login), service.stage.center
    if state == "LOG_OFF":
        center.log_off(user)
    elif user.agent is not None and user.agent.main_state != "LOG_ON":
        center.log_on(user)
    if state not in ("LOG_OFF", "LOG_ON") and not (user.agent and user.agent.sub_state == state == "READY"):
        center.enter(user, state, reason)
    service.exchange.flush()


def set_skill(service: Service, login: str, number: int, level: int) -> None:
    service.stage.center.set_skill(service.exchange.user(login), number, level)
    service.exchange.flush()


def set_routing(service: Service, login: str, forward_to: str = "", do_not_disturb: bool = False) -> None:
    user = service.exchange.user(login)
    service.stage.administration.set_routing(user, forward_to=forward_to, do_not_disturb=do_not_disturb)
    service.exchange.flush()


def create_user(service: Service, login: str, number: str) -> None:
    service.stage.administration.create_user(login, number)
    service.exchange.flush()


def delete_user(service: Service, login: str) -> None:
    service.stage.administration.delete_user(service.exchange.user(login))
    service.exchange.flush()


def administer(service: Service, what: str, *arguments: Any, **more: Any) -> None:
    """Call an action of `Administration` that takes no user, such as `report`."""
    getattr(service.stage.administration, what)(*arguments, **more)
    service.exchange.flush()


def set_link(service: Service, up: bool, kind: str = "Cti") -> None:
    service.exchange.link(kind, up=up)


def truth(service: Service) -> dict[str, dict[str, Any]]:
    """Return what all events so far add up to, in the shapes of the wire.

    `users`: login -> TelephonicState; `agents`: login -> state; `routing`: login -> routingState.
    """
    users = service.exchange.people.users
    nested = service.faults.has("device-states-nested")
    return {
        "users": {login: telephonic_state(user, nested=nested) for login, user in users.items()},
        "agents": {
            login: service.exchange.agent_state(user)["state"]
            for login, user in users.items()
            if user.agent is not None
        },
        "routing": {login: user.routing() for login, user in users.items()},
    }


def _party(service: Service, name: str) -> Party:
    people = service.exchange.people
    found: User | None = people.users.get(name) or people.by_number.get(name)
    if found is None and not name.lstrip("+").isdecimal():
        raise ValueError(f"{name!r} is neither a login nor a number")
    return found or External(name, f"Customer {name[-4:]}")
