"""Judge what a client subscribes to, and keep what was granted (section 1.6)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from streamd.simulators.o2g.faults import PACKAGES
from streamd.simulators.o2g.wire import Line
from streamd.simulators.switches import Switches

if TYPE_CHECKING:
    from streamd.simulators.o2g.accounts import Session
    from streamd.simulators.o2g.channel import Channel

# What msgspec raises on bytes that are no JSON (LIBRARIES.md section 5).
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_OF_LOGINS = ("telephony", "eventSummary", "unifiedComLog", "routingManagement", "user", "agent")
_OF_ADMIN = ("userManagement", "rti", "acdstats", "system", "pbxManagement")
_DEFAULT_TIMEOUT = 10  # minutes (P-ot)
_RECENT = 100  # lines kept for `repeat-on-reopen`

Packages = Mapping[str, frozenset[str] | None]


class Subscription:
    """One subscription: package -> ids, or None for all, and the channels that are open on it.

    `ended` is set when its session is gone; its channels may stream on, but none can be opened.
    """

    def __init__(
        self, made_id: str, session: Session, packages: Packages, timeout: int, faults: Callable[[], Switches]
    ) -> None:
        self.id, self.session, self.packages, self.timeout_minutes = made_id, session, packages, timeout
        self.channels: list[Channel] = []
        self.opened = 0
        self.ended = False
        self.waiting: deque[Line] = deque()
        self.recent: deque[Line] = deque(maxlen=_RECENT)
        self._faults = faults

    def __repr__(self) -> str:
        return f"<Subscription {', '.join(self.packages)} channels={len(self.channels)}>"

    def hears(self, line: Line) -> bool:
        """Tell whether `line` belongs to this subscription; a pilot's only once it is monitored."""
        ids = self.packages.get(line.package, frozenset())
        if line.package == "pilot" and line.subject not in self.session.pilots:
            return False
        return ids is None or line.subject in ids

    def offer(self, lines: Sequence[Line]) -> bool:
        """Hand `lines` to the open channels, or keep them where the switch says so; tell whether any did."""
        taken = False
        for channel in self.channels:
            taken = channel.offer(lines) or taken
        room = int(self._faults().number("closed-queues"))
        if not taken and room and not self.ended:
            self.waiting.extend(lines[: max(0, room - len(self.waiting))])
            taken = True
        return taken


class SubscriptionRequest(Struct):
    """The body of a subscription request, as the SDKs write it and their ancestors did."""

    filter: dict[str, Any]
    version: str = "1.0"
    timeout: int = _DEFAULT_TIMEOUT
    webHookUrl: str | None = None
    mode: str = "CHUNK"
    format: str = "JSON"


class Granted(Struct):
    """What of a request is granted: with `message` what is not, and why."""

    packages: dict[str, frozenset[str] | None]
    status: str
    message: str


def read_request(body: bytes) -> SubscriptionRequest | str:
    """Return the request in `body`, or what is wrong with it."""
    try:
        asked = msgspec.json.decode(body, type=SubscriptionRequest)
    except UNREADABLE as error:
        return str(error)
    if asked.webHookUrl is not None:
        return "webHookUrl is not supported"
    if asked.timeout != 0 and not 2 <= asked.timeout <= 60:
        return "timeout: 0, or 2 to 60 minutes"
    selectors = asked.filter.get("selectors")
    if not (isinstance(selectors, list) and selectors and all(map(_is_selector, selectors))):
        return "filter.selectors: a list of objects with names"
    return asked


def _is_selector(found: Any) -> bool:
    ids = found.get("ids") if isinstance(found, dict) else ""
    return isinstance(ids, list | None) and isinstance(found.get("names"), list) and bool(found["names"])


def grant(
    asked: SubscriptionRequest,
    session: Session,
    monitored: Collection[str],
    pilots: Collection[str],
    faults: Switches,
) -> Granted | str:
    """Say what of `asked` the session gets; a text when all of it is a bad request.

    `monitored` are the logins that can be monitored, `pilots` the numbers of the pilots.
    """
    packages: dict[str, frozenset[str] | None] = {}
    refused: list[str] = []
    for selector in asked.filter["selectors"]:
        for name in selector["names"]:
            if name not in PACKAGES:
                refused.append(f"{name} is no package")
            elif faults.has("unlicensed", name):
                refused.append(f"no licence for {name}")
            elif name in _OF_ADMIN and not session.admin:
                refused.append(f"{name} is for administrators")
            elif name in _OF_LOGINS or name == "pilot":
                known = pilots if name == "pilot" else monitored
                ids = selector.get("ids") if session.admin or name == "pilot" else [session.login]
                if not ids:
                    return f"ids are mandatory for {name}"
                _add(packages, name, ids, known, faults, refused)
            else:
                packages[name] = None
    if refused and faults.has("unknown-login-400"):
        return "; ".join(refused)
    if refused and faults.has("unknown-login-refused"):
        packages = {}
    status = "REFUSED" if not packages else "PARTIAL" if refused else "ACCEPTED"
    return Granted(packages, status, "; ".join(refused))


def _add(
    packages: dict[str, frozenset[str] | None],
    name: str,
    ids: Sequence[str],
    known: Collection[str],
    faults: Switches,
    refused: list[str],
) -> None:
    so_far = packages.get(name, frozenset())
    if "*" in ids or so_far is None:
        packages[name] = None
        return
    unknown = [each for each in ids if each not in known]
    if unknown and not faults.has("unknown-login-ignored"):
        refused.append(f"{name} cannot be monitored for {', '.join(unknown)}")
    good = frozenset(ids).difference(unknown)
    if good or faults.has("unknown-login-ignored"):
        packages[name] = so_far | good


def cut_last_id(packages: Packages) -> dict[str, frozenset[str] | None]:
    """Return `packages` without the last id of the first that has ids (the `subscribe-partial` switch)."""
    found = dict(packages)
    for name, ids in packages.items():
        if ids:
            found[name] = frozenset(sorted(ids)[:-1])
            break
    return found
