"""Where the configuration is read from, and what is wrong with the files themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamd.config.file import Loaded, load
from streamd.errors import ConfigError

KAFKA = '[kafka]\nbootstrap_servers = ["localhost:9092"]\n'


def problems(path: Path | None) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_the_variable_names_the_file_when_no_path_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'{KAFKA}client_id = "mine"\n')
    monkeypatch.setenv("STREAMD_CONFIG", str(file))
    assert load().config.kafka.client_id == "mine"


def test_without_the_variable_it_is_the_file_in_etc() -> None:
    assert problems(None).keys() == {"/etc/streamd/streamd.toml"}


def test_a_directory_is_merged_in_name_order_and_other_files_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "10-kafka.toml").write_text(f"{KAFKA}partitions = 3\n")
    (tmp_path / "20-more.toml").write_text(
        '[kafka]\nclient_id = "b"\n[kafka.topics."streamd.gaps"]\npartitions=1\n'
    )
    (tmp_path / ".#20-more.toml").write_text("not = [toml")
    (tmp_path / "notes.txt").write_text("not toml")
    kafka = load(tmp_path).config.kafka
    assert (kafka.partitions, kafka.client_id, kafka.topics["streamd.gaps"].partitions) == (3, "b", 1)


def test_a_key_that_is_set_in_two_files_names_both(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(f"{KAFKA}partitions = 3\n[kafka.topics.x]\n")
    (tmp_path / "b.toml").write_text("[kafka]\npartitions = 3\ntopics = 5\n")
    found = problems(tmp_path)
    assert found.keys() == {"kafka.partitions", "kafka.topics"}
    assert all(str(tmp_path / name) in found["kafka.partitions"] for name in ("a.toml", "b.toml"))


def test_two_sources_of_one_secret_are_set_twice_not_merged(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(f'{KAFKA}client_id = {{ env = "HOME" }}\n')
    (tmp_path / "b.toml").write_text('[kafka]\nclient_id = { file = "/x" }\n')
    assert "is set twice" in problems(tmp_path)["kafka.client_id"]


def test_what_is_not_toml_is_told_with_its_line_for_every_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("a = 1\nb = = 2\n")
    (tmp_path / "b.toml").write_bytes(b'a = "\xff"\n')
    (tmp_path / "c.toml").write_text("a = 1\na = 2\n")
    found = problems(tmp_path)
    assert "line 2" in found[str(tmp_path / "a.toml")]
    assert "not UTF-8" in found[str(tmp_path / "b.toml")]
    assert "line 2" in found[str(tmp_path / "c.toml")]


def test_a_missing_file_and_an_empty_directory_are_configuration_mistakes(tmp_path: Path) -> None:
    assert "No such file" in problems(tmp_path / "none.toml")[str(tmp_path / "none.toml")]
    assert "no *.toml" in problems(tmp_path)[str(tmp_path)]


def test_secrets_come_from_the_environment_a_file_or_a_credential(
    tmp_path: Path, load_text: Callable[[str], Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "id").write_bytes(b"from credential\n\n")
    (tmp_path / "prefix").write_bytes(b"from-file\r\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    monkeypatch.setenv("SERVER", "kafka:9092")
    kafka = load_text(f"""
        [kafka]
        bootstrap_servers = [{{ env = "SERVER" }}]
        topic_prefix = {{ file = "{tmp_path}/prefix" }}
        client_id = {{ credential = "id" }}
    """).config.kafka
    assert kafka.bootstrap_servers == ["kafka:9092"]
    assert kafka.topic_prefix == "from-file"
    assert kafka.client_id == "from credential\n", "only one newline is stripped"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('{ env = "NOT_SET" }', "NOT_SET is not set"),
        ('{ env = "EMPTY" }', "is empty"),
        ('{ file = "/nowhere/at/all" }', "No such file"),
        ('{ file = "/" }', "Is a directory"),
        ('{ file = "a\\u0000b" }', "cannot be read"),
        ('{ credential = "x" }', "CREDENTIALS_DIRECTORY is not set"),
        ('{ env = "A", file = "/b" }', "must have one source"),
        ("{ env = 5 }", "must be a string"),
        ("{}", "must be a string"),
        ('{ vault = "x" }', "must be a string"),
    ],
)
def test_a_secret_that_cannot_be_had_is_a_mistake_at_its_path(
    mistakes: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch, table: str, says: str
) -> None:
    monkeypatch.setenv("EMPTY", "")
    assert says in mistakes(f"{KAFKA}client_id = {table}\n")["kafka.client_id"]


def test_a_credential_cannot_reach_out_of_its_directory(
    mistakes: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    found = mistakes(f'{KAFKA}client_id = {{ credential = "../passwd" }}\n')
    assert "no name of a credential" in found["kafka.client_id"]


def test_a_secret_stands_for_strings_only(mistakes: Callable[[str], dict[str, str]]) -> None:
    found = mistakes(f'{KAFKA}partitions = {{ env = "BUTTON_PASSWORD" }}\n')
    assert found["kafka.partitions"] == "must be a whole number ≥ 1, not a table"
