"""FACE's return codes, and what each asks for (vendors/oracle_isr.md, section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto


class Action(Enum):
    """What to do about a reply that is neither a recording nor a list."""

    GO_ON = auto()
    """It is done."""
    NOTHING_FOUND = auto()
    """An empty result, no error; in the chase: not yet."""
    SUSPECT_TOKEN = auto()
    """Log in again, if that is not too soon; else, and when it says so again, as RETRY."""
    RETRY = auto()
    """Again with backoff, some times; then the link is lost."""
    LATER = auto()
    """Not now: as RETRY, and what it was about is tried again in its own time."""
    HOST_REFUSED = auto()
    """An operator must allow our address; or it is how this server says that a token is no longer good."""
    GIVE_UP = auto()
    """Refused as we stand: no retry but the slow one."""
    BAD_QUERY = auto()
    """A criterion is none for this server, or our own mistake: then as GIVE_UP."""


_ACTIONS: Mapping[int, Action] = {
    0: Action.GO_ON,
    -1: Action.SUSPECT_TOKEN,
    1: Action.GIVE_UP,
    2: Action.HOST_REFUSED,
    **dict.fromkeys((*range(3, 10), 14, 18, 27), Action.BAD_QUERY),
    **dict.fromkeys((10, 15, 20), Action.RETRY),
    **dict.fromkeys((11, 23, 24, 25), Action.LATER),
    # Of recording control and routes, which a reader does not ask for: never the answer that nothing was
    # found, for a window would be passed that was not read.
    **dict.fromkeys((12, 13, 17, 21, 22), Action.LATER),
    16: Action.SUSPECT_TOKEN,
    19: Action.NOTHING_FOUND,
    26: Action.NOTHING_FOUND,
}


def action(code: int | None) -> Action:
    """Give what a code asks for; one that nobody knows, or none, is as -1."""
    return Action.SUSPECT_TOKEN if code is None else _ACTIONS.get(code, Action.SUSPECT_TOKEN)
