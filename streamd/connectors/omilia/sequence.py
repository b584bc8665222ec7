"""Watch the numbers of a stream's batches: for metrics only, for nobody documented what they mean.

Reading A: the number of the batch's first record within its session. Reading B: one number for the whole
session (vendors/omilia.md, section 3b).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from streamd.connectors.omilia.wire import Body

MOST_SESSIONS = 64
Finding = Literal["in_order", "hole", "replay", "reset", "base", "repeat", "first", "missing"]
"""What a batch's number says: it is as reading A expects; some are missing before it; some came before; it
begins at zero again; reading B holds in this session; the same batch again; a new session; there is none."""


class _Session:
    def __init__(self) -> None:
        self.next = self.last = 0
        self.based = False
        self.hash = 0


class Sequence:
    """The sessions of one stream, the latest of them."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def observe(self, body: Body) -> Finding:
        """Note a batch, and say what its number means."""
        if body.session_id is None or body.number is None:
            return "missing"
        session = self._sessions.get(body.session_id)
        known = session is not None
        if session is None:
            session = self._sessions[body.session_id] = _Session()
            if len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(body.session_id)
        hash_ = hash(tuple(body.records))
        finding: Finding = self._finding(session, body.number, hash_) if known else "first"
        if finding != "repeat":
            session.next, session.last = body.number + len(body.records), body.number
            session.hash = hash_
        return finding

    def _finding(self, session: _Session, number: int, hash_: int) -> Finding:
        if number == session.last and hash_ == session.hash:
            return "repeat"
        if number == session.next and not session.based:
            return "in_order"
        if number == session.last:
            session.based = True
            return "base"
        session.based = False
        if number > session.next:
            return "hole"
        return "reset" if number == 0 else "replay"
