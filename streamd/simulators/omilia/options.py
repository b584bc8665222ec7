"""Say what the simulated platform looks like and how fast it talks."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class OmiliaOptions:
    """Everything that a test, the demo or a bench may want to set; the defaults are the documented service.

    `port` is that of exports-api, `iam_port` that of IAM; 0: any. With `ssl_context` both talk TLS;
    `push_ssl_context` says whom the pushes trust (default: the system's trust store). `public_host` is the
    name in URLs that are handed out. `ingress_port` is where the client listens in `ingress_table`; 0: a free
    one.

    `rate` is records a real second over all types (0: nobody calls by himself, inf: as many as the client
    takes), `calls` how many are under way at a time. After every `audit_every`-th call comes an audit event,
    after every `voice_every`-th the two voice-biometric records (0: never).

    `time_scale` makes the platform's clock that much faster, `starts_at` (epoch seconds; 0: now) is where it
    begins. It dates records, and rules over reconciliation, exports and rate limits. IAM's lifetimes and the
    network's timeouts are in real seconds.

    `log` keeps every record and each delivery in memory; without it there is nothing to export.
    """

    host: str = "127.0.0.1"
    port: int = 0
    iam_port: int = 0
    public_host: str = ""
    ssl_context: ssl.SSLContext | None = None
    push_ssl_context: ssl.SSLContext | None = None
    ingress_port: int = 0
    realm: str = "master"
    group: str = "acme_prod"
    username: str = "streamd"
    password: str = field(default="simulated-password", repr=False)
    otp: str = field(default="246810", repr=False)
    personal_access_token: str = field(default="pat-simulated-0001", repr=False)
    auth_id: str = "omilia-acme"
    auth_secret: str = field(default="simulated push secret", repr=False)
    token_seconds: float = 300.0
    refresh_seconds: float = 1800.0
    rate: float = 0.0
    calls: int = 10
    audit_every: int = 20
    voice_every: int = 20
    time_scale: float = 1.0
    starts_at: float = 0.0
    seed: int = 1
    faults: frozenset[str] = frozenset()
    log: bool = True
