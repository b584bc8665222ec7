"""Say what the simulated OXE and its O2G servers look like and how fast they talk."""

from __future__ import annotations

import math
import ssl
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class O2gOptions:
    """Everything that a test, the demo or a bench may want to set; the defaults are the documented server.

    `hosts` O2G servers stand before one OXE; `shared_sessions` makes a pair of one (local HA), else each
    has its own logins, sessions and subscriptions (geographic HA). `port` and `event_port` are those of the
    first host, the n-th has 2n more; 0: any. `private_host` and `public_host` are the names in URLs that are
    handed out. With `ssl_context` a port talks TLS to who begins with it, and plain HTTP to others.

    `users` have the logins oxe1001, oxe1002 …, `agents` oxe2001 …, `pilots` the numbers 3001 …. `rate` is
    lines a second for all of them (0: nobody does anything by himself, inf: as fast as channels take them),
    `calls` how many calls begin by themselves before they stop.

    `session_seconds` is what `timeToLive` says; `time_scale` makes the server's clock that much faster:
    sessions, subscriptions' timeouts, heartbeats, notification periods. `correlator_bytes` is the size of
    `associatedData` in calls, none at 0. `outbox_bytes` may wait for one channel before it is reset; `log`
    keeps every line's record in memory, `log_file` writes the records as JSON lines instead.
    """

    host: str = "127.0.0.1"
    port: int = 0
    event_port: int = 0
    hosts: int = 1
    shared_sessions: bool = False
    private_host: str = ""
    public_host: str = ""
    ssl_context: ssl.SSLContext | None = None
    login: str = "admin"
    password: str = field(default="simulated-password", repr=False)
    user_password: str = field(default="simulated-code", repr=False)
    users: int = 12
    agents: int = 4
    pilots: int = 2
    rate: float = 0.0
    calls: float = math.inf
    session_seconds: float = 1800.0
    heartbeat_seconds: float = 30.0
    time_scale: float = 1.0
    correlator_bytes: int = 0
    seed: int = 1
    faults: frozenset[str] = frozenset()
    outbox_bytes: int = 64 * 1024 * 1024
    log: bool = True
    log_file: str = ""
