"""A vendor of our own, and short ways to load a configuration that is written in a test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import streamd.connectors
from streamd.config.file import Loaded, load
from streamd.errors import ConfigError, Problem
from streamd.registry import all_types

KAFKA = '[kafka]\nbootstrap_servers = ["localhost:9092"]\n'
INGRESS = '[ingress]\nlisten = "0.0.0.0:8443"\npublic_url = "https://in.example.net"\n'
PUSHBUTTON = """
[connectors.paris]
type = "pushbutton"
base_url = "https://buttons.example.net"
password = { env = "BUTTON_PASSWORD" }
"""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STREAMD_CONFIG", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BUTTON_PASSWORD", "correct horse")


@pytest.fixture(autouse=True)
def pushbutton(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add the vendor's folder to the package that the registry walks."""
    folder = str(Path(__file__).parent / "vendors")
    monkeypatch.setattr(streamd.connectors, "__path__", [*streamd.connectors.__path__, folder])
    all_types.cache_clear()
    yield
    all_types.cache_clear()
    sys.modules.pop("streamd.connectors.pushbutton", None)


@pytest.fixture
def load_text(tmp_path: Path) -> Callable[[str], Loaded]:
    """Return a function that loads a configuration of this text."""

    def load_one(text: str) -> Loaded:
        file = tmp_path / "streamd.toml"
        file.write_text(text, "utf-8")
        return load(file)

    return load_one


@pytest.fixture
def mistakes(load_text: Callable[[str], Loaded]) -> Callable[[str], dict[str, str]]:
    """Return a function that gives the mistakes of a configuration: path -> message, {} when it is valid."""

    def find(text: str) -> dict[str, str]:
        problems: Sequence[Problem] = ()
        try:
            load_text(text)
        except ConfigError as error:
            problems = error.problems
        found = {problem.path: problem.message for problem in problems}
        assert len(found) == len(problems), "a path is reported twice"
        return found

    return find


@pytest.fixture
def kafka_table() -> str:
    return KAFKA


@pytest.fixture
def ingress_table() -> str:
    return INGRESS


@pytest.fixture
def whole() -> str:
    """Return a valid configuration with one connector that is pushed to."""
    return KAFKA + INGRESS + PUSHBUTTON
