"""Simulate O2G, REST and event channel, in front of one simulated OXE.

By default it does what the documents say (vendors/o2g.md). Each undocumented choice and each fault is a
named switch in `FAULTS` with its row and mark; answers that hold unless another is named are marked as the
default there. It shares no code with the connector, and sends nothing that the real server lacks: no time,
no event id, no sequence.

Choices that no document settles and that have no switch of their own, all inferred (I):

- Heartbeats come every 30 s (`heartbeat_seconds`), whatever else is sent.
- Paths of the realtime service `/acd/rti`, of pilot monitoring `/acd/pilot`; clients take them from
  `services`. No wildcard in RTI filters. RTI events carry all chosen attributes, not the changed ones only.
- A wrong password is a 401, an unknown subscription on the channel a 404, a user's look at another a 403.
- A token is not bound to one session: calls without JSESSIONID mean the newest session of the token.
- `webHookUrl` is a 400. An `ids` that is missing where it is mandatory is a 400. A package nobody knows, or
  one for administrators asked for by a user, makes the subscription PARTIAL; REFUSED ones have no id.
- A subscription ends with its session, whatever its timeout. Snapshots go to the session's own
  subscriptions, and each user's state is taken when his turn comes.
- While the link to OXE is down, calls go on unseen, state and snapshots are 503. Then come OnCtiLinkUp,
  OnPbxLoaded and the state of who changed.
- A held call is HELD on both sides. An agent's record of calls and RTI counters last as long as the process.
- A channel that leaves 64 MiB waiting (`outbox_bytes`) is reset even without `slow-reader-dropped`.
- A host that goes down forgets its tokens, sessions and subscriptions unless `shared_sessions`.

A judge finds each line that was handed to a channel in `O2gSimulator.log`, what nobody was there for in
`unheard`, both by `digest`, and the state that all lines lead to in `truth()` and `calls()`.
"""

from streamd.simulators.o2g.cli import run
from streamd.simulators.o2g.faults import FAULTS
from streamd.simulators.o2g.log import LogEntry, RequestEntry
from streamd.simulators.o2g.options import O2gOptions
from streamd.simulators.o2g.simulator import O2gSimulator, open_o2g_simulator
from streamd.simulators.o2g.wire import digest

__all__ = [
    "FAULTS",
    "LogEntry",
    "O2gOptions",
    "O2gSimulator",
    "RequestEntry",
    "digest",
    "open_o2g_simulator",
    "run",
]
