"""Each row of the table of result codes (vendors/huawei_aicc.md, section 4) has its action."""

from __future__ import annotations

import pytest

from streamd.connectors.huawei_aicc.codes import ACTIONS, Action, action

TABLE = {
    Action.GO_ON: ["0"],
    Action.SLOW_DOWN: ["0300008", "0300009"],
    Action.ABSENT: ["0300011", "0300029"],
    Action.EMPTY: ["0300012"],
    Action.SHRINK: ["0300014"],
    Action.AHEAD: ["0300016"],
    Action.PARK: [
        *(f"030000{code}" for code in range(1, 8)),
        *(f"03000{code}" for code in (10, 13, 17, 19, 20, 21, 22, 23, 24, 27, 28)),
    ],
    Action.REFUSE: ["0300018", "0300026"],
    Action.RETRY: [f"03000{code}" for code in (15, 25, 30, 45, 46, 47, 48, 49)],
}


@pytest.mark.parametrize(
    ("wanted", "code"), [(each, code) for each, codes in TABLE.items() for code in codes]
)
def test_a_code_asks_for_what_the_table_says(wanted: Action, code: str) -> None:
    assert action(code) is wanted


def test_the_table_is_whole_and_what_is_not_in_it_is_a_fault_of_the_server() -> None:
    assert set(ACTIONS) == {code for codes in TABLE.values() for code in codes}
    for code in ("0300031", "0100000", "", "1"):
        assert action(code) is Action.RETRY
