"""Check the signature of each call, and lock out who signs wrongly too often (section 1)."""

from __future__ import annotations

import hmac
import time
from collections import defaultdict, deque
from urllib.parse import parse_qsl, urlsplit

from streamd.simulators.clock import ScaledClock
from streamd.simulators.http import Request, Response
from streamd.simulators.huawei_aicc.answers import error
from streamd.simulators.huawei_aicc.options import HuaweiOptions
from streamd.simulators.huawei_aicc.signature import (
    Signed,
    chosen,
    matches,
    read_authorization,
    read_timestamp,
)
from streamd.simulators.switches import Switches

_FAILURES_WITHIN = 600.0  # seconds; inferred, as are the number and the length of a lock


class Gatekeeper:
    """Failures and locks by the address that calls; a success forgets its failures."""

    def __init__(self, options: HuaweiOptions, clock: ScaledClock) -> None:
        self._options, self._clock = options, clock
        self._failures: defaultdict[str, deque[float]] = defaultdict(deque)
        self._locked_until: dict[str, float] = {}
        self.port = 0
        """Where we listen; known once we do."""

    def check(self, request: Request, address: str, operation: str, faults: Switches) -> Response | None:
        """Return a 401 or 403; None: the call is welcome."""
        now = self._clock.now()
        if now < self._locked_until.get(address, 0.0) or faults.spend("locked-403", operation):
            return error(403, now, request.path)
        if faults.spend("unauthorized-401", operation):
            return error(401, now, request.path)
        if self._is_good(request, faults):
            self._failures.pop(address, None)
            return None
        self._count_failure(address, now, faults)
        return error(401, now, request.path)

    def unlock(self) -> None:
        """Forgive everybody."""
        self._failures.clear()
        self._locked_until.clear()

    def _count_failure(self, address: str, now: float, faults: Switches) -> None:
        failures = self._failures[address]
        failures.append(now)
        while failures[0] < now - _FAILURES_WITHIN:
            failures.popleft()
        if len(failures) >= faults.number("lock-after", 5) and not faults.has("lock-never"):
            self._locked_until[address] = now + faults.number("lock-seconds", 1800)
            failures.clear()

    def _is_good(self, request: Request, faults: Switches) -> bool:
        credential = read_authorization(request.headers.get("authorization", ""))
        if credential is None:
            return False
        headers = chosen({**request.headers, "host": self._host(request, faults)}, credential.names)
        if headers is None or not self._is_fresh(credential.timestamp, faults):
            return False
        target = urlsplit(request.head.target.decode("ascii", "replace"))
        query = parse_qsl(target.query, keep_blank_values=True)
        signed = Signed(request.method, target.path, headers, request.body, query)
        known = hmac.compare_digest(credential.access_key.encode(), self._options.access_key.encode())
        return known and matches(credential, signed, self._options.secret_key)

    def _host(self, request: Request, faults: Switches) -> str:
        """Return the host as the signature is to have it."""
        sent = request.headers.get("host", "")
        if self._options.signing_host:
            return self._options.signing_host
        name = sent.rpartition(":")[0] if ":" in sent.rpartition("]")[2] else sent
        if faults.has("host-bare"):
            return name
        if faults.has("host-with-port"):
            return f"{name}:{self.port}"
        return sent

    def _is_fresh(self, timestamp: str, faults: Switches) -> bool:
        signed_at = read_timestamp(timestamp)
        if signed_at is None:
            return False
        off = min(abs(signed_at - time.time()), abs(signed_at - self._clock.now()))
        return faults.has("skew-unchecked") or off <= faults.number("skew-limit", 900)
