"""The set of sequence numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.audit.numbers import Numbers


@given(st.lists(st.integers(1, 300)), st.integers(0, 320))
def test_what_is_missing_is_what_was_not_added(added: list[int], through: int) -> None:
    numbers = Numbers()
    news = [numbers.add(number) for number in added]
    assert news == [number not in added[:place] for place, number in enumerate(added)]
    assert numbers.count == len(set(added))
    assert numbers.highest == max(added, default=0)
    assert list(numbers.missing(through)) == sorted(set(range(1, through + 1)) - set(added))


@pytest.mark.parametrize("number", [0, -1, 10**20])
def test_what_cannot_be_a_number_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="no sequence number"):
        Numbers().add(number)


def test_a_million_numbers_take_a_bit_each() -> None:
    numbers = Numbers()
    for number in range(1, 1_000_001):
        numbers.add(number)
    assert len(numbers._bits) < 300_000
    assert list(numbers.missing(1_000_002)) == [1_000_001, 1_000_002]
