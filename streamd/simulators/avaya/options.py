"""Say what the simulated account looks like and how fast it talks."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

ITD_PRODUCERS = ("Agent_itd_1.0.0", "AgentByChannel_itd_1.0.0", "Queue_itd_1.0.0", "QueueByChannel_itd_1.0.0")


@dataclass(frozen=True, kw_only=True)
class AvayaOptions:
    """Everything that a test, the demo or a bench may want to set; the defaults are the documented service.

    `keys` is per producer; `rate` is LIVE messages a second over all producers (0: silent, ``inf``: as many
    as the sockets take); `faults` are written as in `faults.FAULTS`; `outbox_bytes` is what may wait for one
    slow socket before it is reset; `log` keeps every data message's record in memory, `log_file` writes the
    records as JSON lines instead. `public_host` is the name in URLs that the simulator hands out.
    """

    host: str = "127.0.0.1"
    port: int = 0
    public_host: str = ""
    ssl_context: ssl.SSLContext | None = None
    account_id: str = "ABCDEF"
    client_id: str = "streamd"
    client_secret: str = field(default="simulated-secret", repr=False)
    appkey: str = field(default="simulated-appkey", repr=False)
    event_source_id: str = "IXCC_1.0.0"
    producers: tuple[str, ...] = ITD_PRODUCERS
    keys: int = 50
    rate: float = 0.0
    token_seconds: float = 900.0
    ping_interval: int = 300
    seed: int = 1
    faults: frozenset[str] = frozenset()
    outbox_bytes: int = 64 * 1024 * 1024
    log: bool = True
    log_file: str = ""
