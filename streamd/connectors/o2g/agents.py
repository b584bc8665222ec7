"""The agents of the contact centre: what each is now, and who is no agent any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from streamd.connectors.o2g.calls import Changes, Items
from streamd.connectors.o2g.contact_center import AgentStateChanged, AgentStateData, agent_state
from streamd.connectors.o2g.normalise import agent_state_of
from streamd.keyed_set import KeyedSet

PREFIX = "agent/"


class Agents:
    """All agents over the life of a session; the keyed state has one name for each."""

    def __init__(self, known: Mapping[str, bytes]) -> None:
        """Take over the agents known before a restart, as `states(PREFIX)` gives them."""
        self._known = KeyedSet(name.removeprefix(PREFIX) for name in known)

    def begin(self) -> None:
        """Open a channel: every agent has to be heard of again."""
        self._known.begin()

    def changed(self, data: AgentStateChanged, received: datetime, items: Items, changes: Changes) -> None:
        """Take the state of an agent, asked for or not.

        The last that came counts: nothing on the wire tells a snapshot that was taken before a change from
        one taken after it.
        """
        data.agent_state = agent_state(data.state)
        login = data.login_name
        if not login:
            return
        if self._known.seen(login):
            changes[PREFIX + login] = b""
        state = AgentStateData(login_name=login, agent_state=data.agent_state, state=data.state)
        items.append(agent_state_of(login, state, received))

    def retire(self, received: datetime, items: Items, changes: Changes) -> None:
        """Declare gone whom a whole snapshot did not show."""
        self.forget(self._known.end(), received, items, changes)

    def forget(self, logins: Iterable[str], received: datetime, items: Items, changes: Changes) -> None:
        """Declare these agents gone."""
        for login in sorted(logins):
            if self._known.gone(login):
                changes[PREFIX + login] = None
                items.append(agent_state_of(login, None, received))

    def __len__(self) -> int:
        return len(self._known)
