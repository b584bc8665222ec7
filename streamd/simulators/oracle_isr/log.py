"""Record what was asked of FACE and what each answer gave, who logged in, and what was notified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct


class ReplyEntry(Struct, frozen=True, gc=False):
    """One request and its answer.

    `at` is time.time(), `platform_at` the recorder's clock. `operation` is ``login``, ``details``,
    ``segments``, ``notify``, ``version`` or ``other``; `query` is without the token, and a login's body is
    nowhere. `shape` is ``none``, ``one``, ``all``, ``cut``, ``token``, ``error``, ``raw`` (what a switch or
    the test put in its place) or ``reset``. `ids` are what it named: recording ids, temporary ones, or
    segments'; `matches` how many there really were. `parallel` counts the requests that were under way, this
    one included. `status` is 0 and `code` None where there was none.
    """

    at: float
    platform_at: float
    operation: str
    method: str
    query: Mapping[str, str]
    status: int
    code: int | None
    shape: str
    ids: Sequence[int]
    matches: int
    parallel: int


class LoginEntry(Struct, frozen=True):
    """One login that was read; `outcome` is ``token``, or why there is none. `at` is time.time()."""

    at: float
    expiration_seconds: float
    outcome: str


class NotificationEntry(Struct, frozen=True, gc=False):
    """One attempt to notify, in order of its end.

    `number` is the recording's, -1 for a forged one. `attempt` counts from 1; 0: it was lost before it was
    tried. `status` is 0 without an answer, `seconds` how long it took (real). `outcome` is ``accepted``,
    ``refused``, ``unanswered`` or ``lost``. `body` is what the client answered.
    """

    at: float
    platform_at: float
    event: str
    ucid: str
    number: int
    method: str
    attempt: int
    status: int
    seconds: float
    outcome: str
    body: bytes = b""


class Log:
    """`replies` and `notifications` only where they are kept."""

    def __init__(self, keep: bool) -> None:
        self.replies: list[ReplyEntry] = []
        self.logins: list[LoginEntry] = []
        self.notifications: list[NotificationEntry] = []
        self.most_parallel = self.refused_parallel = 0
        self._keep = keep

    def replied(self, entry: ReplyEntry) -> None:
        if self._keep:
            self.replies.append(entry)

    def notified(self, entry: NotificationEntry) -> None:
        if self._keep:
            self.notifications.append(entry)
