"""Rows of any number come out by call, its last one last, in bounded memory and without a file left."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from streamd.connectors.huawei_aicc.rows import CDR, RECORDING, Shape
from streamd.connectors.huawei_aicc.sorting import Sorter


def leg(call: str, number: str) -> tuple[Shape, list[str]]:
    return CDR, ["dev", "acc", "1", "", call, *[""] * 12, number]


def recording(call: str) -> tuple[Shape, list[str]]:
    return RECORDING, ["dev", "acc", "1", "", call, *[""] * 8]


@pytest.mark.parametrize("run_rows", [1, 7, 1000, 10_000])
def test_rows_come_by_call_in_the_order_of_its_legs_the_last_one_last_then_its_recordings(
    tmp_path: Path, run_rows: int
) -> None:
    wanted = [
        row
        for call in range(100)
        for row in (
            *(leg(f"17145216{call:02}-{call}", str(number)) for number in (*range(1, 12), -1)),
            recording(f"17145216{call:02}-{call}"),
        )
    ]
    given = random.Random(1).sample(wanted, len(wanted))
    path = tmp_path / "rows"
    with Sorter(path, run_rows) as sorter:
        for shape, row in given:
            sorter.add(shape, row)
        assert path.exists() is (run_rows <= len(given))
        batches = list(sorter.batches(500))
    assert [row for batch in batches for row in batch] == wanted
    assert max(map(len, batches)) == 500
    assert not path.exists()


def test_an_id_that_begins_another_comes_before_all_rows_of_that(tmp_path: Path) -> None:
    with Sorter(tmp_path / "rows") as sorter:
        for each in (leg("1-12", "1"), leg("1-1", "-1"), recording("1-1"), leg("1-1", "1")):
            sorter.add(*each)
        [batch] = sorter.batches(10)
    assert batch == [leg("1-1", "1"), leg("1-1", "-1"), recording("1-1"), leg("1-12", "1")]
