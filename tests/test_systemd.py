"""The units as systemd itself judges them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[1] / "systemd"
ENTRY_POINT = "/opt/streamd/bin/streamd"
pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here"
)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(params=["streamd.service", "streamd@.service"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of the unit whose command exists here: `verify` finds fault with one that does not.

    The command stays as it is; its program is this environment's Python in place of the entry point.
    """
    text = (UNITS / request.param).read_text()
    assert text.count(ENTRY_POINT + " run") == 1
    name = request.param.replace("@", "@emea")
    copy = tmp_path / name
    copy.write_text(text.replace(ENTRY_POINT + " run", f"{sys.executable} -m streamd run"))
    return copy


def test_systemd_finds_no_fault_with_it(unit: Path) -> None:
    judged = analyze("verify", "--man=no", str(unit))
    assert (judged.returncode, judged.stderr) == (0, "")


def test_its_exposure_is_low(unit: Path) -> None:
    judged = analyze("security", "--offline=true", "--no-pager", str(unit))
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", judged.stdout)
    assert exposure is not None, judged.stderr
    assert float(exposure[1]) <= 1.5


def test_an_instance_differs_from_the_single_unit_in_names_only() -> None:
    single, instance = (
        [line for line in (UNITS / name).read_text().splitlines() if not line.startswith("#")]
        for name in ("streamd.service", "streamd@.service")
    )
    assert [
        line.replace("/etc/streamd/%i.toml", "/etc/streamd/streamd.toml")
        .replace("=streamd/%i", "=streamd")
        .replace("streamd %i:", "streamd:")
        for line in instance
    ] == single
