"""Let agents work and calls come to pilots (vendors/o2g.md section 2.3: agent, pilot)."""

from __future__ import annotations

from typing import Any

from streamd.simulators.o2g.exchange import Exchange
from streamd.simulators.o2g.people import GROUP, QUEUE, Agent, External, Pilot, User
from streamd.simulators.o2g.telephony import Call, Telephony

SUB_STATES = (
    "READY",
    "OUT_OF_PG",
    "BUSY",
    "TRANSACTION_CODE_INPUT",
    "WRAPUP",
    "PAUSE",
    "WITHDRAW",
    "WRAPUP_IM",
    "WRAPUP_EMAIL",
    "WRAPUP_EMAIL_INTERRUPTIBLE",
    "WRAPUP_OUTBOUND",
    "WRAPUP_CALLBACK",
)


class ContactCenter:
    """What agents and pilots do; each action queues its events and none of them waits."""

    def __init__(self, exchange: Exchange, telephony: Telephony) -> None:
        self._exchange = exchange
        self._telephony = telephony

    # Agents

    def log_on(self, user: User) -> None:
        """Log the agent on: READY."""
        agent = self._agent(user)
        agent.main_state, agent.logon_ms = "LOG_ON", self._exchange.now_ms()
        self.enter(user, "READY")

    def log_off(self, user: User) -> None:
        agent = self._agent(user)
        agent.main_state, agent.sub_state, agent.withdraw_reason = "LOG_OFF", "", None
        self._tell(user)

    def enter(self, user: User, sub_state: str, withdraw_reason: int | None = None) -> None:
        """Bring the agent to `sub_state`, one of SUB_STATES; only WITHDRAW has a reason."""
        if sub_state not in SUB_STATES:
            raise ValueError(f"{sub_state!r}: one of {', '.join(SUB_STATES)}")
        agent = self._agent(user)
        if agent.main_state != "LOG_ON":
            raise ValueError(f"{user.login} is not logged on")
        agent.sub_state = sub_state
        agent.withdraw_reason = withdraw_reason if sub_state == "WITHDRAW" else None
        agent.withdrawals += sub_state == "WITHDRAW"
        self._tell(user)

    def set_skill(self, user: User, number: int, level: int) -> None:
        agent = self._agent(user)
        agent.skills[number] = level
        bare = self._exchange.faults.has("skills-bare")
        skills: Any = agent.skill_list() if bare else {"skills": agent.skill_list()}
        self._exchange.emit(
            "agent",
            user.login,
            {"eventName": "OnAgentSkillChanged", "loginName": user.login, "skills": skills},
        )

    def _agent(self, user: User) -> Agent:
        return self._exchange.people.agent(user.login)

    def _tell(self, user: User) -> None:
        self._agent(user).since_ms = self._exchange.now_ms()
        self._exchange.emit("agent", user.login, self._exchange.agent_state(user))

    # Pilots

    def arrive(self, pilot: Pilot, caller: External) -> str:
        """Let a call arrive at `pilot` and wait in its queue; return its reference at the pilot."""
        ref = self._exchange.new_ref()
        pilot.waiting[ref] = caller
        pilot.incoming += 1
        data = {
            "initialCalled": pilot.number,
            "trunkIdentification": {"networkTimeslot": 4, "trunkNeqt": [2, 17]},
        }
        self._pilot(pilot, "OnPilotCallCreated", ref, caller=caller.number, callData=data)
        self._pilot(
            pilot,
            "OnPilotCallQueued",
            ref,
            caller=caller.number,
            queue=QUEUE,
            cause="ACD_ENTER_DISTRIBUTION",
            numberOfQueued=len(pilot.waiting),
        )
        return ref

    def distribute(self, pilot: Pilot, ref: str, user: User) -> Call:
        """Take the call out of the queue and let it ring at the agent."""
        caller = pilot.waiting.pop(ref)
        self._exchange.live_refs.discard(ref)
        self._pilot(pilot, "OnPilotCallRemoved", ref, cause="DISTRIBUTED", newDestination=user.number)
        group = GROUP if self._exchange.faults.has("agent-group-string") else int(GROUP)
        info = {"queueWaitingTime": 2, "globalWaitingTime": 3, "agentGroup": group, "local": True}
        acd = {"callInfo": info, "pilotNumber": pilot.number}
        call = self._telephony.dial(
            caller, External(pilot.number, "Pilot"), {"acdCallData": acd, "trunkIdentification": _TRUNK}
        )
        self._telephony.ring(call, user, "DISTRIBUTED")
        return call

    def answer(self, pilot: Pilot, call: Call, user: User) -> None:
        """Let the agent answer: he is BUSY until he hangs up."""
        pilot.in_conversation += 1
        self._agent(user).served += 1
        self._telephony.answer(call)
        self.enter(user, "BUSY")

    def finish(self, pilot: Pilot, user: User) -> None:
        """Let the agent write up what the call was about."""
        pilot.in_conversation -= 1
        self.enter(user, "WRAPUP")

    def _pilot(self, pilot: Pilot, name: str, ref: str, **fields: Any) -> None:
        self._exchange.emit(
            "pilot", pilot.number, {"eventName": name, "pilot": pilot.number, "callRef": ref, **fields}
        )


_TRUNK = {"networkTimeslot": 4, "trunkNeqt": [2, 17]}
