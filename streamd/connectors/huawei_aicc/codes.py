"""What CC-FS's result codes ask of us (vendors/huawei_aicc.md, section 4); pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final


class Action(Enum):
    """What to do about a reply."""

    GO_ON = "go on"
    SLOW_DOWN = "slow down"  # flow control: wait with jitter, the same job
    ABSENT = "absent"  # no such file: not ready before the deadline, gone after it
    EMPTY = "empty"  # no data in the window: advance
    SHRINK = "shrink"  # the window is longer than the server takes
    AHEAD = "ahead"  # a time is later than the server's now
    PARK = "park"  # a parameter is wrong, and will be next time: ours, or the configuration's
    REFUSE = "refuse"  # account, VDN or developer: nothing of this source can be had
    RETRY = "retry"  # the server's own fault: a few times more


SUCCESS: Final = "0"
_PARAMETERS = (*range(1, 8), 10, 13, 17, *range(19, 25), 27, 28)  # 13: begin later than end, our bug
_ACTIONS: Mapping[Action, tuple[int, ...]] = {
    Action.SLOW_DOWN: (8, 9),
    Action.ABSENT: (11, 29),
    Action.EMPTY: (12,),
    Action.SHRINK: (14,),
    Action.AHEAD: (16,),
    Action.PARK: _PARAMETERS,
    Action.REFUSE: (18, 26),
    Action.RETRY: (15, 25, 30, *range(45, 50)),
}
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {SUCCESS: Action.GO_ON}
    | {f"03000{code:02}": action for action, codes in _ACTIONS.items() for code in codes}
)


def action(code: str) -> Action:
    """Give what a result code asks for; one that nobody knows is taken for a fault of the server."""
    return ACTIONS.get(code, Action.RETRY)
