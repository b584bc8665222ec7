"""What Avaya's statuses mean for us: the contract's section 2, row by row; no I/O, the time is passed in.

Functions judge one answer. A `Standing` remembers, over the connections of one producer, what makes the
second time different from the first.
"""

from __future__ import annotations

from enum import Enum, auto

from msgspec import Struct

from streamd.connectors.avaya.rest import Subscription
from streamd.connectors.avaya.wire import snippet

HEALTHY_SECONDS = 60.0  # a confirmed session of this length forgives what came before it
LEAST_BACKOFF, MOST_BACKOFF = 1.0, 60.0
DEFAULT_PING_INTERVAL = 300.0
MOST_PING_INTERVAL = 10.0  # Avaya recommends 30 s because of proxies; at 10 s a dead peer is noticed sooner

CONFIRMED = "CONNECTION_CONFIRMED"
INVALID_TOKEN = "CONNECTION_FAILED_INVALID_TOKEN"  # noqa: S105 - a status, no token
UNKNOWN_SUBSCRIPTION = "CONNECTION_FAILED_UNKNOWN_SUBSCRIPTION"
SERVER_ERROR = "CONNECTION_FAILED_INTERNAL_SERVER_ERROR"
CONSTRAINT_VIOLATION = "CONNECTION_FAILED_CONSTRAINT_VIOLATION"

_STATUSES = {
    status.replace("_", ""): status
    for status in (CONFIRMED, INVALID_TOKEN, UNKNOWN_SUBSCRIPTION, SERVER_ERROR, CONSTRAINT_VIOLATION)
}

# 1008 policy violation, 1002 protocol error, 1003 and 1007 data that the server does not accept
_COMPLAINTS = frozenset((1002, 1003, 1007, 1008))


class Verdict(Enum):
    """What an HTTP answer asks of us."""

    OK = auto()
    GONE = auto()
    """The subscription is not there (any more)."""
    REFRESH_TOKEN = auto()
    SLOW_DOWN = auto()
    AGAIN = auto()
    REFUSED = auto()


def judge_token(status: int) -> Verdict:
    """Judge an answer of the token endpoint; a 401 there is about the appkey or the client's secret."""
    return _judge(status)


def judge(status: int, detail: str) -> Verdict:
    """Judge the answer to any other call; the problem's `detail` names the culprit of a 401 (P:err).

    A 404 is about the subscription where the call names one, and is refused otherwise by the caller.
    """
    if status == 401 and not detail.rstrip(". ").lower().endswith("(appkey)"):
        return Verdict.REFRESH_TOKEN
    if status == 404:
        return Verdict.GONE
    return _judge(status)


def _judge(status: int) -> Verdict:
    if 200 <= status < 300:
        return Verdict.OK
    if status == 429:
        return Verdict.SLOW_DOWN
    # 408 and 425 are about this one attempt; a redirect is not Avaya's API speaking.
    if status >= 500 or status in (408, 425) or status < 400:
        return Verdict.AGAIN
    return Verdict.REFUSED


def spelled(status: str) -> str:
    """Give a status of an authentication response as the document spells it, if it knows it.

    Avaya does not keep to its spelling: the event's own name comes in two (P:disc).
    """
    return _STATUSES.get(status.replace("_", "").upper(), status)


class Next(Enum):
    """What a subscription needs before we can connect."""

    CONNECT = auto()
    POLL = auto()
    RENEW = auto()
    CREATE = auto()


def judge_subscription(subscription: Subscription | None) -> Next:
    """Judge what GET said; None: it is not there. A status that nobody knows is waited out like PENDING;
    where none is told, the websocket tells."""
    if subscription is None:
        return Next.CREATE
    status = subscription.status.upper()
    if status == "INACTIVE":
        return Next.RENEW
    return Next.CONNECT if status in ("ACTIVE", "") else Next.POLL


class Loss(Struct, frozen=True):
    """Why a connection ended or did not begin, and what to do before the next.

    `refused`: it is a fault, to be tried slowly. `at_once`: it was never confirmed, so connect again
    without a wait and a word. `backoff`: which
    try this is, for `backoff_seconds`; 0 leaves the wait to the session loop. `refresh_token`: the cached
    token is worthless. `renew`, `check`, `recreate`: `:renew`, GET, or delete and create the subscription
    first. `alert`: worth a warning. `oversize`: our limit of a message's size is too small. `retry_after`:
    the wait in seconds that the server asked for.
    """

    reason: str
    refused: bool = False
    at_once: bool = False
    backoff: int = 0
    refresh_token: bool = False
    renew: bool = False
    check: bool = False
    recreate: bool = False
    alert: bool = False
    oversize: bool = False
    retry_after: float | None = None


class Standing:
    """What happened to the connections of one producer lately."""

    def __init__(self) -> None:
        self._invalid_tokens = 0
        self._server_errors = 0
        self._complaints = 0
        self._confirmed_at: float | None = None

    def on_authentication(self, status: str | None, now: float) -> Loss | None:
        """Judge the authentication response; None in and out: no answer came in time, and all is well."""
        status = None if status is None else spelled(status)
        if status == CONFIRMED:
            self._confirmed_at = now
            self._invalid_tokens = self._server_errors = 0
            return None
        if status == INVALID_TOKEN:
            self._invalid_tokens += 1
            again = self._invalid_tokens > 1
            return Loss(status, at_once=not again, refresh_token=True, renew=True, alert=again)
        self._invalid_tokens = 0
        if status == UNKNOWN_SUBSCRIPTION:
            return Loss(status, check=True)
        if status == CONSTRAINT_VIOLATION:
            return Loss(status, refused=True, alert=True)
        self._server_errors += 1
        if status == SERVER_ERROR:
            return Loss(status, backoff=self._server_errors)
        reason = "no authentication response" if status is None else f"unknown status {snippet(status)!r}"
        return Loss(reason, backoff=self._server_errors)

    def on_upgrade(self, status: int, retry_after: float | None) -> Loss:
        """Judge a refused upgrade: undocumented, so the token is suspected where HTTP would suspect it."""
        return Loss(
            f"upgrade refused with {status}",
            refresh_token=status in (401, 403),
            check=status in (401, 403, 404),
            retry_after=retry_after,
        )

    def on_close(self, code: int, by_peer: bool, now: float) -> Loss:
        """Judge the end of the socket; the codes are not documented (contract, section 2)."""
        healthy = self._confirmed_at is not None and now - self._confirmed_at >= HEALTHY_SECONDS
        self._confirmed_at = None
        if healthy:
            self._complaints = 0
        if code == 1009 and not by_peer:
            return Loss("a message above the limit", oversize=True, alert=True)
        if code in _COMPLAINTS:
            # What we complained of ourselves (a frame that is not UTF-8) is no fault of the configuration.
            self._complaints += by_peer
            if self._complaints > 1:
                return Loss(f"closed with {code}, again after a new token", refused=True, alert=True)
            return Loss(f"closed with {code}", refresh_token=True, check=True, alert=True)
        return Loss(f"closed with {code}")


def backoff_seconds(tries: int, roll: float) -> float:
    """Give the wait before try `tries` (from 1): 1 to 60 s, doubling, `roll` in 0..1 being the jitter."""
    ceiling = min(MOST_BACKOFF, LEAST_BACKOFF * 2.0 ** min(tries, 10))
    return LEAST_BACKOFF + (ceiling - LEAST_BACKOFF) * roll


def ping_interval(server: float | None, override: float | None) -> float:
    """Give the seconds between our pings: the server's pingInterval is the most it tolerates (P:notif)."""
    if override is not None:
        return override
    allowed = server if server is not None and server > 0 else DEFAULT_PING_INTERVAL
    return min(MOST_PING_INTERVAL, allowed / 3)


def needs_check(
    *, seen_alive_at: float | None, expires_at: float | None, ping_interval: float | None, now: float
) -> bool:
    """Say whether the subscription may have died meanwhile: down longer than its pings or its life allow."""
    if seen_alive_at is None:
        return True
    allowed = ping_interval if ping_interval is not None and ping_interval > 0 else DEFAULT_PING_INTERVAL
    return now - seen_alive_at > allowed or (expires_at is not None and now >= expires_at)


def renew_delay(expires_in: float, roll: float) -> float:
    """Give the seconds until the renewal: about 75 % of the life that is left, `roll` in 0..1 the jitter."""
    return max(0.0, expires_in * (0.70 + 0.10 * roll))
