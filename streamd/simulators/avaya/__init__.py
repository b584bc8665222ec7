"""Simulate Avaya's realtime analytics, REST and websocket on one port, honestly.

By default it does what the vendor's documents say (vendors/avaya.md). Each undocumented choice and each
fault is a named switch in `FAULTS` with its row and mark; answers that hold unless another is named are
marked as the default there. It shares no code with the connector, and sends nothing that the real service
lacks: no message id, no sequence, no event time.

Choices that no document settles and that have no switch of their own, all inferred (I):

- Wrong client credentials or refresh token: 401 without "(Appkey)" or "(Access-Token)". An account that does
  not exist: 404 on the token call, 403 elsewhere. The `password` grant: 400.
- Order of checks: account's shape (400), appkey (401), access token (401), the token's account (403).
- AGENT_ENGAGEMENT: 403, as for an account without that feature. WEBHOOK transport: 400.
- Violation codes other than 20002 and 20006.
- The catalogue lists `DialogDetail_cdr_1.0.0`, but only ITD producers can be subscribed to.
- Authentication without `subscriptionId`: the id in the endpoint's path, else UNKNOWN_SUBSCRIPTION. Where
  path and frame differ, the frame counts. A subscription of another account: INVALID_TOKEN.
- After a refusal the socket is closed with `close-code`; the peer has two seconds to answer the close.
- A second frame that is no authentication is treated as a second authentication (row 9).
- The upgrade wants no header of its own. Websocket extensions are declined. Data and text frames do not
  count as pings. Expired subscriptions stay listed as INACTIVE, deleted ones are gone.
- LIVE for an agent holds the 14 measures of the seed's example and what else changed; LIVE for a queue the
  counters that changed. A key that is new comes as LIVE with all its measures. DELETE has no measures.
- Durations are milliseconds, TIME_IN_STATE epoch milliseconds.
- A socket that leaves 64 MiB waiting (`outbox_bytes`) is reset even without `slow-reader-dropped`.

A judge finds each message that was handed to a socket in `AvayaSimulator.log`, by producer, keys and
`digest(measures)`, and the state that all of them lead to in `AvayaSimulator.truth()`.
"""

from streamd.simulators.avaya.cli import run
from streamd.simulators.avaya.faults import FAULTS
from streamd.simulators.avaya.log import LogEntry, RequestEntry
from streamd.simulators.avaya.options import AvayaOptions
from streamd.simulators.avaya.simulator import AvayaSimulator, open_avaya_simulator
from streamd.simulators.avaya.wire import digest

__all__ = [
    "FAULTS",
    "AvayaOptions",
    "AvayaSimulator",
    "LogEntry",
    "RequestEntry",
    "digest",
    "open_avaya_simulator",
    "run",
]
