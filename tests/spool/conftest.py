"""The spool of a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.spool.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Yield what opens spools on a directory of its own, and closes the last one at the end."""
    rig = Rig(tmp_path)
    yield rig
    rig.close()
