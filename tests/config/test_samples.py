"""Every sample in config/ is a valid configuration, and shows every key there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import fields

from streamd.config import (
    AdminConfig,
    ConnectorConfig,
    IngressConfig,
    KafkaConfig,
    PrivacyConfig,
    SpoolConfig,
)
from streamd.config.file import load

SAMPLES = sorted((Path(__file__).parent.parent.parent / "config").glob("*.toml"))


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Set every secret that the samples name."""
    text = "".join(sample.read_text() for sample in SAMPLES)
    for name in re.findall(r'env = "(\w+)"', text):
        monkeypatch.setenv(name, "a secret that is long enough")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for name in re.findall(r'credential = "([\w-]+)"', text):
        (tmp_path / name).write_text("a secret that is long enough\n")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_sample_is_valid_and_has_no_secret_written_plainly(sample: Path) -> None:
    assert not [warning for warning in load(sample).warnings if "plainly" in warning.message]


@pytest.mark.parametrize(
    "table", [KafkaConfig, SpoolConfig, IngressConfig, AdminConfig, ConnectorConfig, PrivacyConfig]
)
def test_the_core_sample_shows_every_key(table: type) -> None:
    text = next(sample for sample in SAMPLES if sample.name == "streamd.toml").read_text()
    shown = set(re.findall(r"^#? ?(\w+) = ", text, re.MULTILINE))
    keys = {field.encode_name for field in fields(table)}
    assert keys - shown - {"topics", "privacy"} == set()


def test_the_defaults_that_the_core_sample_shows_are_the_defaults() -> None:
    text = next(sample for sample in SAMPLES if sample.name == "streamd.toml").read_text()
    defaults = {
        field.encode_name: field.default
        for table in (KafkaConfig, SpoolConfig, IngressConfig, AdminConfig, ConnectorConfig)
        for field in fields(table)
        if isinstance(field.default, int | float) and field.encode_name not in ("enabled",)
    }
    shown = dict(re.findall(r"^# (\w+) = ([\d.-]+|true|false)\s*(?:#|$)", text, re.MULTILINE))
    for key in defaults.keys() & shown.keys() - {"partitions", "replication_factor"}:
        assert str(defaults[key]).lower().removesuffix(".0") == shown[key], key
