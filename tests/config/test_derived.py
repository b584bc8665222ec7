"""What follows from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamd.config.file import (
    Loaded,
    changed,
    changed_tables,
    connector_share,
    state_directory,
    topic_specs,
)

Load = Callable[[str], Loaded]


def test_the_state_directory_is_the_key_else_systemds_else_here(
    load_text: Load, kafka_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_text(kafka_table).config
    assert state_directory(config) == Path("streamd-state")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/streamd:/var/lib/other")
    assert state_directory(config) == Path("/var/lib/streamd")
    own = load_text(f'{kafka_table}[spool]\ndirectory = "/data"\n').config
    assert state_directory(own) == Path("/data")


def test_each_enabled_connector_has_its_own_share_or_an_equal_part_of_the_rest(
    load_text: Load, whole: str
) -> None:
    table = whole[whole.index("[connectors.paris]") :]
    others = "".join(
        f'{table.replace("paris", name)}path = "/{name}"\n' for name in ("lyon", "nice", "brest")
    )
    text = f"{whole}spool_bytes = 400\n{others}enabled = false\n[spool]\nmax_bytes = 1001\n"
    config = load_text(text).config
    assert [connector_share(config, name) for name in ("paris", "lyon", "nice")] == [400, 300, 300]


def test_the_topics_are_the_cores_and_each_enabled_connectors(load_text: Load, whole: str) -> None:
    specs = topic_specs(load_text(whole).config)
    assert {name: spec.cleanup for name, spec in specs.items()} == {
        "contact-center.streamd.connectors": "delete",
        "contact-center.streamd.connectors.state": "compact",
        "contact-center.streamd.gaps": "compact",
        "contact-center.streamd.dead-letter": "delete",
        "contact-center.pushbutton.presses": "delete",
        "contact-center.pushbutton.buttons.state": "compact",
    }
    assert all(spec.config == {"cleanup.policy": spec.cleanup} for spec in specs.values())
    disabled = topic_specs(load_text(f"{whole}enabled = false\n").config)
    assert "contact-center.pushbutton.presses" not in disabled


def test_an_override_changes_its_own_topic_only(load_text: Load, whole: str) -> None:
    override = '[kafka.topics."pushbutton.presses"]\npartitions = 24\nconfig = { "retention.ms" = "1000" }\n'
    specs = topic_specs(load_text(whole + override).config)
    presses = specs["contact-center.pushbutton.presses"]
    assert (presses.partitions, presses.replication_factor) == (24, -1)
    assert presses.config == {"cleanup.policy": "delete", "retention.ms": "1000"}
    assert specs["contact-center.streamd.gaps"].partitions == 6


def test_a_change_names_the_connectors_whose_tables_or_secrets_changed(
    load_text: Load, whole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = whole[whole.index("[connectors.paris]") :]
    lyon = f'{table.replace("paris", "lyon")}path = "/lyon"\n'
    old = load_text(whole + lyon).config
    assert changed(old, load_text(whole + lyon).config) == set()
    assert changed(old, load_text(whole).config) == {"lyon"}
    assert changed(old, load_text(f"{whole}{lyon}enabled = false\n").config) == {"lyon"}
    monkeypatch.setenv("BUTTON_PASSWORD", "rotated horse")
    assert changed(old, load_text(whole + lyon).config) == {"paris", "lyon"}


def test_a_change_of_another_table_is_told_apart(load_text: Load, whole: str, ingress_table: str) -> None:
    old, new = load_text(whole).config, load_text(whole + "[spool]\nmax_bytes = 1000\n").config
    assert (changed(old, new), changed_tables(old, new)) == (set(), {"spool"})
    gone = load_text(whole.replace(ingress_table, "") + "enabled = false\n").config
    assert changed_tables(old, gone) == {"ingress"}
