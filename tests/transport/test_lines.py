"""Lines are the same wherever the bytes are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamd.transport.lines import Lines, TooLong

TEXT = 'one\n\n  \r\n{"name":"Zoë \u2028 😀mil"}\r\nthree\n'.encode()
WHOLE = [b"one", '{"name":"Zoë \u2028 😀mil"}\r'.encode(), b"three"]


def test_only_a_newline_ends_a_line_and_blank_lines_are_none() -> None:
    lines = Lines(1000)
    assert lines.feed(TEXT + b"rest") == WHOLE
    assert lines.rest() == b"rest"
    assert lines.rest() == b""


def test_every_place_to_cut_gives_the_same_lines() -> None:
    for place in range(len(TEXT) + 1):
        lines = Lines(1000)
        assert lines.feed(TEXT[:place]) + lines.feed(TEXT[place:]) == WHOLE
        assert lines.rest() == b""


@given(st.lists(st.binary(max_size=5)))
def test_any_pieces_give_the_lines_of_their_sum(pieces: list[bytes]) -> None:
    lines = Lines(1000)
    found = [line for piece in pieces for line in lines.feed(piece)]
    found += [lines.rest()]
    expected = [line for line in b"".join(pieces).split(b"\n") if line and not line.isspace()]
    assert [line for line in found if line] == expected


def test_a_line_that_is_too_long_is_told_by_its_length_and_the_next_is_read() -> None:
    for size in (1, 7, 100):
        lines = Lines(10)
        data = b"short\n" + b"x" * 25 + b"\nlast\n"
        found = [line for at in range(0, len(data), size) for line in lines.feed(data[at : at + size])]
        assert found[0] == b"short"
        assert found[-1] == b"last"
        [long] = found[1:-1]
        assert isinstance(long, TooLong)
        assert long.length == 25
        assert long.beginning.startswith(b"x" * 7)


def test_the_rest_may_be_too_long_too() -> None:
    lines = Lines(10)
    lines.feed(b"x" * 11)
    assert isinstance(lines.rest(), TooLong)
