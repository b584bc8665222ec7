"""Every mistake in a table is told, at its place, with what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamd.config.file import load
from streamd.connectors.o2g import CONNECTOR
from streamd.connectors.o2g.config import O2gConfig, root_url
from streamd.errors import ConfigError

TABLE = {
    "type": '"o2g"',
    "urls": '["https://o2g.example.net"]',
    "login": '"admin"',
    "password": '"a password"',
    "selectors": '[{ packages = ["telephony"], ids = "all" }]',
}


def read(tmp_path: Path, **changes: str) -> Any:
    path = tmp_path / "streamd.toml"
    table = "\n".join(f"{key} = {value}" for key, value in {**TABLE, **changes}.items())
    path.write_text(f"[kafka]\nbootstrap_servers = ['k:9092']\n[connectors.o2g-x]\n{table}\n")
    return load(path).config.connectors["o2g-x"]


def test_a_table_with_the_required_keys_has_the_documented_defaults(tmp_path: Path) -> None:
    config = read(tmp_path)
    assert isinstance(config, O2gConfig)
    assert (config.timeout_minutes, config.failback_seconds, config.when_full) == (0, 60.0, "drop")
    assert config.idle_timeout_seconds is config.address is config.rti is None


@pytest.mark.parametrize(
    ("key", "value", "place", "word"),
    [
        ("urls", "[]", "urls", "at least one server"),
        ("urls", '["https://a", "https://a"]', "urls[1]", "twice"),
        ("urls", '["http://a.example.net"]', "urls[0]", "insecure"),
        ("urls", '["https://u:p@a"]', "urls[0]", "user name"),
        ("login", '""', "login", "at least 1"),
        ("password", '""', "password", "not be empty"),
        ("selectors", "[]", "selectors", "at least one"),
        ("selectors", "[{ packages = [] }]", "selectors[0].packages", "at least one"),
        ("selectors", '[{ packages = ["telefony"] }]', "selectors[0].packages[0]", "telephony"),
        ("selectors", '[{ packages = ["telephony"], ids = [] }]', "selectors[0].ids", "at least one"),
        ("selectors", '[{ packages = ["telephony"], ids = "everybody" }]', "selectors[0].ids", '"all"'),
        ("selectors", '[{ packages = ["system"], ids = ["a"] }]', "selectors[0].ids", "takes no ids"),
        ("selectors", '[{ packages = ["agent"], names = ["a"] }]', "selectors[0].names", "unknown"),
        ("timeout_minutes", "1", "timeout_minutes", "0 or 2 to 60"),
        ("timeout_minutes", "61", "timeout_minutes", "60"),
        ("address", '"internal"', "address", "private"),
        ("when_full", '"block"', "when_full", "drop"),
        ("rti", "{}", "rti", "rti"),
        ("rti", "{ obs_period_minutes = 5 }", "rti.obs_period_minutes", "15"),
        ("idle_timeout_seconds", "0", "idle_timeout_seconds", "> 0"),
        ("retry_max_seconds", "0.1", "retry_max_seconds", "less than"),
        ("privacy", '{ mask = ["loginName"] }', "privacy.mask[0]", "hashed"),
        ("privacy", '{ drop = ["callRef"] }', "privacy.drop[0]", "hashed"),
    ],
)
def test_a_mistake_is_told_at_its_place(tmp_path: Path, key: str, value: str, place: str, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, **{key: value})
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert word in found[f"connectors.o2g-x.{place}"]


def test_the_wildcard_of_o2g_means_all_whatever_the_packages(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        selectors='[{ packages = ["rti", "acdstats"], ids = ["*"] }, { packages = ["agent"], ids = ["*"] }]',
    )
    assert [selector.ids for selector in config.selectors] == ["all", "all"]


def test_topics_are_those_of_the_packages_their_states_and_the_unknown(tmp_path: Path) -> None:
    config = read(tmp_path, selectors='[{ packages = ["agent", "telephony"] }, { packages = ["telephony"] }]')
    topics = [stream.topic for stream in CONNECTOR.streams(config)]
    assert topics == ["o2g.agent", "o2g.telephony", "o2g.calls.state", "o2g.agents.state", "o2g.unknown"]


def test_the_rest_root_is_added_where_no_path_is_given() -> None:
    assert root_url("https://a:8443/") == "https://a:8443/api/rest"
    assert root_url("https://gateway/o2g/api/rest/") == "https://gateway/o2g/api/rest"


def test_no_secret_is_shown(tmp_path: Path) -> None:
    assert "a password" not in repr(read(tmp_path))
