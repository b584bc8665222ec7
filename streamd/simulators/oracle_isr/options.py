"""Say what the simulated recorder looks like and how much is recorded."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class OracleIsrOptions:
    """Everything that a test, the demo or a bench may want to set; the defaults are the documented server.

    With `ssl_context` FACE talks TLS; `push_ssl_context` says whom the notifications trust (default: the
    system's trust store). Notifications go to `notify_url`; empty: none are sent. `notify_events`: the types
    of event that have this destination; empty: all. `ingress_port` is where the client listens in
    `ingress_table`; 0: a free one. `path_secret` is the end of the path there.

    `rate` is calls begun a real second (0: nobody calls by himself), `calls` how many begin by themselves
    before they stop, `call_seconds` how long one is recorded in the mean.

    `time_scale` makes the recorder's clock that much faster, `starts_at` (epoch seconds; 0: now) is where it
    begins. In its seconds are `call_seconds`, `gap_seconds` (from the end of a recording until it can be
    found), `archive_seconds` (from then until it is archived) and `delete_seconds` (from a deletion until it
    is done). Lifetimes of tokens and whatever the network does are in real seconds.

    `user_zone` is the API user's, which counts with the switch `user-zone`. `log` keeps replies in memory;
    recordings are always kept.
    """

    host: str = "127.0.0.1"
    port: int = 0
    ssl_context: ssl.SSLContext | None = None
    push_ssl_context: ssl.SSLContext | None = None
    notify_url: str = field(default="", repr=False)
    notify_events: frozenset[str] = frozenset()
    ingress_port: int = 0
    path_secret: str = field(default="simulated-path-secret", repr=False)
    user_email: str = "stream@example.net"
    password: str = field(default="simulated-password", repr=False)
    user_zone: str = "Europe/Berlin"
    account: str = "1"
    rate: float = 0.0
    calls: float = float("inf")
    call_seconds: float = 180.0
    gap_seconds: float = 2.0
    archive_seconds: float = 60.0
    delete_seconds: float = 60.0
    time_scale: float = 1.0
    starts_at: float = 0.0
    seed: int = 1
    faults: frozenset[str] = frozenset()
    log: bool = True
