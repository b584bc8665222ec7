"""Let happen what is neither a call nor an agent's work (vendors/o2g.md section 2.3).

Routing, users, objects of the OXE, routing requests (rsi), reports, licences, other servers.
"""

from __future__ import annotations

from typing import Any

from streamd.simulators.o2g.exchange import Exchange
from streamd.simulators.o2g.people import NODE, User, outsider

_STEPS = {True: ("COLLECTING", "PROCESSED", "FORMATTED"), False: ("COLLECT", "PROCESSED", "FORMATED")}


class Administration:
    """Each action queues its events and none of them waits."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._served = 0

    def set_routing(self, user: User, *, forward_to: str = "", do_not_disturb: bool = False) -> None:
        user.forward_to, user.do_not_disturb = forward_to, do_not_disturb
        self._exchange.emit("routingManagement", user.login, routing_state(user))

    def rename(self, user: User, first: str, last: str) -> None:
        user.first, user.last = first, last
        self._tell("user", user.login, "OnUserInfoChanged", loginName=user.login, user=user.info())

    def create_user(self, login: str, number: str) -> User:
        user = self._exchange.people.add(login, number)
        self._tell("userManagement", "", "OnUserCreated", user=user.info())
        return user

    def delete_user(self, user: User) -> None:
        self._exchange.people.remove(user.login)
        self._tell("userManagement", "", "OnUserDeleted", loginName=user.login)

    def set_device_state(self, user: User, state: str) -> None:
        """Bring the device IN_SERVICE or OUT_OF_SERVICE."""
        user.device_state = state
        states = [{"deviceId": user.number, "state": state}]
        self._tell(
            "telephony", user.login, "OnDeviceStateModified", loginName=user.login, deviceStates=states
        )

    def set_hunting(self, user: User, *, logon: bool) -> None:
        """Let the user enter or leave his hunting group."""
        name = (
            "OnDynamicStateModified"
            if self._exchange.faults.has("dynamic-modified")
            else "OnDynamicStateChanged"
        )
        state = {"logon": True} if logon else {}
        self._tell("telephony", user.login, name, loginName=user.login, huntingGroupState=state)

    def change_object(self, what: str, name: str, number: str) -> None:
        """Tell that an object of the OXE was Created, Modified or Deleted."""
        father = {"objectName": "Node", "objectId": NODE}
        event = {"objectName": name, "objectId": number, "nodeId": NODE, "father": father}
        self._tell("pbxManagement", "", f"OnPbxObjectInstance{what}", **event)

    def route_request(self, point: str = "3701") -> None:
        """Let a routing service be asked, collect a digit, play a tone and end."""
        self._served += 1
        ref, caller = self._exchange.new_ref(), outsider(self._exchange.random)
        request: dict[str, Any] = {
            "routeCrid": self._served,
            "caller": caller.number,
            "callingName": caller.name,
        }
        request |= {"callerType": "EXTERNAL", "called": point, "routedCallRef": ref, "nbOverflows": 0}
        self._rsi("OnRouteRequest", point, request={**request, "reason": "NORMAL"})
        self._rsi("OnToneGeneratedStart", point, callRef=ref, tonesTypes="DIAL")
        self._rsi("OnToneGeneratedStop", point, callRef=ref)
        collected = {"collCrid": self._served, "digits": "4", "cause": "DIGITS_COLLECTED"}
        self._rsi("OnDigitCollected", point, callRef=ref, dataCollected=collected)
        self._rsi("OnRouteEnd", point, routeCrid=self._served, routedCallRef=ref, reason="NORMAL")
        self._exchange.live_refs.discard(ref)

    def report(self, supervisor: str) -> None:
        """Let a statistics report be made, from its first step to the last."""
        for done, step in enumerate(_STEPS[self._exchange.faults.has("acdstats-node")]):
            fields: dict[str, Any] = {"supervisor": supervisor, "step": step, "nbTotObjects": 2}
            fields |= {"nbProcessedObjects": done}
            if done == 2:
                fields |= {
                    "resPath": "/reports/r.csv",
                    "fullResPath": "/reports/r.csv",
                    "xlsfullResPath": "/reports/r.xls",
                }
            self._tell("acdstats", supervisor, "OnAcdStatsProgress", **fields)

    def warn_of_licence(self, days: int) -> None:
        self._tell("system", "", "OnLicenseExpiration", message="The licence expires", nbDays=days)

    def server_started(self, server: str) -> None:
        self._tell("system", "", "OnServerStart", serverId=server)

    def remote_server(self, host: str, *, up: bool) -> None:
        """Tell that the link to another O2G server is down or up."""
        self._tell("system", "", f"OnRemoteServerLink{'Up' if up else 'Down'}", host=host)

    def _rsi(self, name: str, point: str, **fields: Any) -> None:
        self._tell("rsi", point, name, rsiPoint=point, **fields)

    def _tell(self, package: str, subject: str, name: str, **fields: Any) -> None:
        self._exchange.emit(package, subject, {"eventName": name, **fields})


def routing_state(user: User) -> dict[str, Any]:
    """Return the OnRoutingStateChanged of `user` as he is now."""
    return {"eventName": "OnRoutingStateChanged", "loginName": user.login, "routingState": user.routing()}
