"""Say what the simulated CC-FS looks like and how fast it talks."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class HuaweiOptions:
    """Everything that a test, the demo or a bench may want to set; the defaults are the documented service.

    `port` 0: any. With `ssl_context` it talks TLS; `callback_ssl_context` says whom callbacks trust (default:
    the system's trust store). `ingress_port` is where the client listens in `ingress_table`; 0: a free one.

    `access_key` is the developer, who owns `account_ids`; `foreign_account_ids` are another's.
    `time_zone` is that of the tenant space. `signing_host`, where it is set, is the only Host that signatures
    are checked with, as behind an NSLB.

    `rate` is rows a real second over all types (0: nobody calls by himself): of calls that begin, or with
    `whole_calls` of such that have just ended, with all rows written. `time_scale` makes the
    platform's clock that much faster, `starts_at` (epoch seconds; 0: now) is where it begins: rows, windows,
    the Date header, files, retries and locks go by it. Timestamps of signatures and the network's timeouts
    are in real time.

    `log` keeps every row in memory; without it there is nothing to export but what `bulk` made.
    """

    host: str = "127.0.0.1"
    port: int = 0
    ssl_context: ssl.SSLContext | None = None
    callback_ssl_context: ssl.SSLContext | None = None
    ingress_port: int = 0
    access_key: str = "TESTAK0001"
    secret_key: str = field(default="not-a-real-secret", repr=False)
    signing_host: str = ""
    account_ids: tuple[str, ...] = ("202405010001",)
    foreign_account_ids: tuple[str, ...] = ("202405019999",)
    cc_ids: tuple[str, ...] = ("1",)
    vdn_id: str = "1"
    time_zone: str = "Asia/Shanghai"
    rate: float = 0.0
    whole_calls: bool = False
    time_scale: float = 1.0
    starts_at: float = 0.0
    seed: int = 1
    faults: frozenset[str] = frozenset()
    log: bool = True
