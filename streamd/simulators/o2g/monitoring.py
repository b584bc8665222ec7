"""Answer the calls about users, their state, agents, pilots and RTI (sections 1.5 and 1.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streamd.simulators.http import Response, ok
from streamd.simulators.o2g import realtime
from streamd.simulators.o2g.accounts import Session
from streamd.simulators.o2g.answers import Call, link_down, refusal
from streamd.simulators.o2g.people import NODE, User
from streamd.simulators.o2g.subscriptions import UNREADABLE

_RTI_LISTS = dict(zip(("agents", "pilots", "queues", "pgAgents", "pgOthers"), realtime.FILTERS, strict=True))


def logins(call: Call) -> Response:
    """List the logins: all of them for an administrator, his own for a user (seed, chapter 6.1)."""
    found = [user for user in call.service.exchange.people.users.values() if _sees(call.session, user)]
    if "onlyACD" in call.request.query:
        found = [user for user in found if user.agent is not None]
    if "onlyWithExtLogin" in call.request.query or NODE not in call.request.query.get("nodeIds", NODE).split(
        ";"
    ):
        found = []
    return ok({"loginNames": [user.login for user in found]})


def user(call: Call) -> Response:
    found = call.service.exchange.people.users.get(call.parts["login"])
    if found is None:
        return refusal(call.faults, 404, "no such user")
    if not _sees(call.session, found):
        return refusal(call.faults, 403, "another user")
    more = {"vendorHint": 1} if call.faults.has("extra-fields") else {}
    return ok({**found.info(), **more})


def telephony_snapshot(call: Call) -> Response:
    return _snapshot(call, "telephony")


def agent_snapshot(call: Call) -> Response:
    return _snapshot(call, "agent")


def routing_snapshot(call: Call) -> Response:
    return _snapshot(call, "routingManagement")


def _snapshot(call: Call, package: str) -> Response:
    """Have state sent on the channel: of one login, or, for an administrator, of everybody."""
    if not call.service.exchange.linked:
        return link_down(call.faults)
    people = call.service.exchange.people
    chosen = [each for each in people.users.values() if _sees(call.session, each)]
    login = call.request.query.get("loginName")
    if login is not None:
        chosen = [each for each in chosen if each.login == login]
        if not chosen:
            return refusal(call.faults, 404, "no such user")
    if package == "agent":
        chosen = [each for each in chosen if each.agent is not None]
    call.service.start_snapshot(call.host.accounts, call.session, package, chosen)
    return Response(204)


def telephony_state(call: Call) -> Response:
    found = _one(call)
    return found if isinstance(found, Response) else ok(call.service.exchange.telephony_state(found)["state"])


def calls(call: Call) -> Response:
    found = _one(call)
    if isinstance(found, Response):
        return found
    return ok({"calls": [view.to_wire() for view in found.calls.values()]})


def agent_state(call: Call) -> Response:
    found = _one(call)
    if isinstance(found, Response) or found.agent is None:
        return found if isinstance(found, Response) else refusal(call.faults, 404, "no agent")
    return ok(call.service.exchange.agent_state(found)["state"])


def agent_config(call: Call) -> Response:
    found = _one(call)
    if isinstance(found, Response) or found.agent is None:
        return found if isinstance(found, Response) else refusal(call.faults, 404, "no agent")
    skills = {"skills": found.agent.skill_list()}
    return ok(
        {"type": "AGENT", "proacd": found.number, "processingGroups": {"preferred": ""}, "skills": skills}
    )


def routing_state(call: Call) -> Response:
    found = _one(call)
    return found if isinstance(found, Response) else ok(found.routing())


def event_summary(call: Call) -> Response:
    found = _one(call)
    return found if isinstance(found, Response) else ok(found.summary())


def _one(call: Call) -> User | Response:
    """Return the user that `loginName` names, else the session's own; or why that cannot be."""
    if not call.service.exchange.linked:
        return link_down(call.faults)
    found = call.service.exchange.people.users.get(call.request.query.get("loginName", call.session.login))
    if found is None or not _sees(call.session, found):
        return refusal(call.faults, 404, "no such user")
    return found


def _sees(session: Session, user: User) -> bool:
    return session.admin or user.login == session.login


# Pilots and RTI


def monitor_pilot(call: Call) -> Response:
    if call.parts["pilot"] not in call.service.exchange.people.pilots:
        return refusal(call.faults, 404, "no such pilot")
    call.session.pilots.add(call.parts["pilot"])
    return Response(204)


def leave_pilot(call: Call) -> Response:
    call.session.pilots.discard(call.parts["pilot"])
    return Response(204)


def set_context(call: Call) -> Response:
    try:
        asked = msgspec.json.decode(call.request.body)
    except UNREADABLE:
        asked = None
    if not (call.session.admin and isinstance(asked, dict) and _is_context(asked)):
        return refusal(call.faults, 400, "obsPeriod 15 to 60, notifFrequency 5 or more, filter")
    call.session.context = realtime.RtiContext(asked["obsPeriod"], asked["notifFrequency"], asked["filter"])
    return Response(204)


def _is_context(asked: Mapping[str, Any]) -> bool:
    minutes, seconds = asked.get("obsPeriod"), asked.get("notifFrequency")
    numbers = isinstance(minutes, int) and isinstance(seconds, int) and 15 <= minutes <= 60 and seconds >= 5
    filters = asked.get("filter")
    return numbers and isinstance(filters, dict) and set(filters) <= set(realtime.FILTERS)


def get_context(call: Call) -> Response:
    if call.session.context is None:
        return refusal(call.faults, 404, "no context")
    return ok(call.session.context.to_wire())


def delete_context(call: Call) -> Response:
    call.session.context = None
    return Response(204)


def start_context(call: Call) -> Response:
    """Begin to tell, everything once more (`POST …/snapshot`)."""
    if call.session.context is None:
        return refusal(call.faults, 404, "no context")
    call.session.context.started, call.session.context.due = True, 0.0
    call.session.context.told.clear()
    return Response(204)


def rti_numbers(call: Call) -> Response:
    """List what can be put into a filter; the shape of the list is inferred."""
    numbers = realtime.numbers(call.service.exchange, _RTI_LISTS[call.parts["what"]])
    return ok({call.parts["what"]: [{"number": number, "name": number} for number in numbers]})
