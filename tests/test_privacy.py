"""What a privacy rule names never gets past it, and nothing else is touched."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.config import PrivacyConfig, Secret
from streamd.privacy import DEEPEST, MASK, Privacy, parse

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
PATHS = st.lists(
    st.tuples(NAMES, st.sampled_from(["", "[]", "[][]"])).map("".join), min_size=1, max_size=3
).map(".".join)
RULES = st.lists(PATHS, max_size=3)


def privacy(key: str = "k", **rules: list[str]) -> Privacy:
    return Privacy(PrivacyConfig(hash_key=Secret(key), **rules))


def found(value: Any, path: tuple[str, ...]) -> list[Any]:
    """Give all that a path leads to."""
    if not path:
        return [value]
    step, rest = path[0], path[1:]
    if step == "[]":
        return [leaf for item in value for leaf in found(item, rest)] if isinstance(value, list) else []
    return found(value[step], rest) if isinstance(value, dict) and step in value else []


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict | list):
        return [
            leaf for each in (value.values() if isinstance(value, dict) else value) for leaf in leaves(each)
        ]
    return [value]


def test_each_rule_does_what_its_name_says() -> None:
    rules = privacy(drop=["measures.login"], mask=["kvps[].value"], hash=["user"])
    message = {"measures": {"login": "x", "n": "1"}, "kvps": [{"value": "v", "key": "k"}, 5], "user": "anna"}
    assert rules.apply(message) == {
        "measures": {"n": "1"},
        "kvps": [{"value": MASK, "key": "k"}, 5],
        "user": rules.apply({"user": "anna"})["user"],
    }
    assert len(rules.apply(message)["user"]) == 32


def test_the_same_value_hashes_alike_with_the_same_key_only() -> None:
    one, same, other = privacy(hash=["a", "b"]), privacy(hash=["a"]), privacy("z", hash=["a"])
    hashed = one.apply({"a": "anna", "b": "anna"})
    assert hashed["a"] == hashed["b"] == same.apply({"a": "anna"})["a"]
    assert hashed["a"] != other.apply({"a": "anna"})["a"]
    assert hashed["a"] != one.apply({"a": "bert"})["a"]


def test_mask_and_hash_keep_the_shape_of_tables_and_lists() -> None:
    message = {"a": {"x": ["1", 2, None], "y": {"z": True}}}
    assert privacy(mask=["a"]).apply(message) == {"a": {"x": [MASK, MASK, None], "y": {"z": MASK}}}
    hashed = privacy(hash=["a"]).apply(message)["a"]
    assert (len(hashed["x"]), hashed["x"][2], list(hashed["y"])) == (3, None, ["z"])


def test_drop_wins_over_mask_and_mask_over_hash() -> None:
    rules = privacy(drop=["a.x"], mask=["a"], hash=["a", "a.x"])
    assert rules.apply({"a": {"x": "1", "y": "2"}}) == {"a": {"y": MASK}}


def test_dropping_every_item_of_a_list_leaves_it_empty() -> None:
    assert privacy(drop=["a[]"]).apply({"a": [1, 2], "b": 1}) == {"a": [], "b": 1}
    assert privacy(drop=["[].a"]).apply([{"a": 1, "b": 2}, 5]) == [{"b": 2}, 5]


def test_without_rules_the_message_is_handed_through() -> None:
    message = {"a": 1}
    assert not privacy().rules
    assert privacy().apply(message) is message
    assert privacy().for_field("a") is None


def test_the_rules_below_one_field_can_be_had_alone() -> None:
    rules = privacy(drop=["measures.login", "keys.x"], mask=["measures.name"])
    measures = rules.for_field("measures")
    assert measures is not None
    assert measures({"login": "x", "name": "y", "n": "1"}) == {"name": MASK, "n": "1"}
    assert rules.for_field("other") is None
    whole = privacy(drop=["measures"]).for_field("measures")
    assert whole is not None
    assert whole({"n": "1"}) == {}


def test_what_nests_deeper_than_any_vendor_is_masked_whole() -> None:
    deep: Any = "secret"
    for _ in range(DEEPEST * 10):
        deep = [deep]
    assert "secret" not in str(privacy(hash=["a"]).apply({"a": deep}))


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "a.[]", "a[", "a]", "a[0]", "a[]b"])
def test_a_path_that_names_nothing_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="dots between"):
        parse(path)


@given(VALUES, RULES, RULES, RULES)
def test_nothing_that_a_rule_names_gets_past_it(
    value: Any, drop: list[str], mask: list[str], hashed: list[str]
) -> None:
    original = copy.deepcopy(value)
    after = privacy(drop=drop, mask=mask, hash=hashed).apply(value)
    assert value == original, "the message itself is not altered"
    for path in drop:
        *_, last = parse(path)
        assert found(after, parse(path)) == [] or last == "[]"
    for path in mask:
        assert all(leaf in (MASK, None) for leaf in leaves(found(after, parse(path))))
    for path in set(hashed):
        assert all(leaf in (MASK, None) or len(leaf) == 32 for leaf in leaves(found(after, parse(path))))
    msgspec.json.encode(after)


@given(st.dictionaries(NAMES, VALUES), RULES)
def test_a_field_alone_comes_out_as_it_does_within_the_message(
    value: dict[str, Any], rules: list[str]
) -> None:
    compiled = privacy(mask=[f"m.{rule}" for rule in rules], drop=[f"m.{rule}" for rule in rules[:1]])
    alone = compiled.for_field("m")
    assert (alone(value) if alone else value) == compiled.apply({"m": value})["m"]
