"""A vendor's objects are read into snake_case entities, and nothing of them is lost."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest

from streamd.lenient import UNREADABLE, Entity, Reader, camel, snake


class Inner(Entity):
    """An object in another."""

    acd_calls: int | None = None


class Outer(Entity):
    """An object with all that can be in it."""

    own: ClassVar[frozenset[str]] = frozenset({"extra", "verdict"})

    user_name: str | None = None
    inner: Inner | None = None
    several: list[Inner] | None = None
    either: Inner | str | None = None
    anything: Any = None
    verdict: str = "none"


READER = Reader(["ACDCalls"])
decode = msgspec.json.Decoder(READER.twin(Outer)).decode


@pytest.mark.parametrize(
    ("vendor", "ours"),
    [
        ("callRef", "call_ref"),
        ("nbOfACDCalls", "nb_of_acd_calls"),
        ("OnPGAgentRtiChanged", "on_pg_agent_rti_changed"),
        ("callUUID", "call_uuid"),
        ("eMailAddress", "e_mail_address"),
        ("state", "state"),
    ],
)
def test_names_in_snake_case(vendor: str, ours: str) -> None:
    assert snake(vendor) == ours


def test_plain_names_come_back_in_camel_case() -> None:
    assert [camel(name) for name in ("call_ref", "state", "e_mail_address")] == [
        "callRef",
        "state",
        "eMailAddress",
    ]


def test_the_usual_way_and_the_lenient_way_read_the_same() -> None:
    line = (
        b'{"userName":"a","inner":{"ACDCalls":1},"several":[{}],"either":{"ACDCalls":2},"anything":[{"b":1}]}'
    )
    usual = decode(line)
    assert type(usual) is Outer
    assert usual == READER.read(Outer, msgspec.json.decode(line))
    assert usual.inner == Inner(acd_calls=1)
    assert usual.either == Inner(acd_calls=2)
    assert msgspec.json.encode(usual).startswith(b'{"user_name":"a","inner":{"acd_calls":1}')


@pytest.mark.parametrize(
    "line",
    [
        b'{"user_name":"a"}',
        b'{"userName":1}',
        b'{"verdict":"v"}',
        b'{" verdict":"v"}',
        b'{"verdict":""}',
        b'{"verdict":null}',
        b'{"extra":{}}',
        b'{" extra":{}}',
        b'{"x":1}',
    ],
)
def test_the_usual_way_refuses_what_is_odd(line: bytes) -> None:
    with pytest.raises(UNREADABLE):
        decode(line)


def test_what_is_odd_is_kept_in_the_vendors_spelling() -> None:
    odd = {
        "userName": 1,
        "inner": [2],
        "several": [{"ACDCalls": True, "x": 1}, 3],
        "either": "s",
        "verdict": "v",
    }
    read = READER.read(Outer, odd)
    assert read.extra == {"userName": 1, "inner": [2], "several": odd["several"], "verdict": "v"}
    assert (read.user_name, read.either, read.verdict) == (None, "s", "none")
    nested = READER.read(Outer, {"several": [{"ACDCalls": True, "x": 1}], "userName": None})
    assert nested.several == [Inner(extra={"ACDCalls": True, "x": 1})]
    assert nested.extra is None
