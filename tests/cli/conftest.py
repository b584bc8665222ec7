"""The vendor of the configuration's tests, and a configuration file to give to commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.config.conftest import INGRESS, PUSHBUTTON, clean_environment, pushbutton  # noqa: F401 - fixtures


@pytest.fixture
def config_file(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a configuration and gives its path."""

    def write(kafka: str = 'bootstrap_servers = ["localhost:9092"]', more: str = "") -> str:
        file = tmp_path / "streamd.toml"
        file.write_text(f"[kafka]\n{kafka}\n{INGRESS}{PUSHBUTTON}{more}\n")
        return str(file)

    return write
