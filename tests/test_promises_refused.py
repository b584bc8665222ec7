"""Refused is not for ever: SIGHUP has it tried at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamd.connector import Context, Link
from streamd.errors import Rejected, Transient
from tests.core import open_core


@pytest.mark.parametrize(
    ("error", "state"), [(Rejected("wrong password"), "refused"), (Transient("gone"), "lost")]
)
async def test_a_reload_has_what_is_refused_or_lost_tried_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, state: str
) -> None:
    monkeypatch.setattr("streamd.session.Backoff.next", lambda backoff: 900.0)

    async def fail(context: Context[Any], link: Link) -> None:
        raise error

    async with open_core(tmp_path, monkeypatch, connectors=["paris", "rome"]) as core:
        paris = core.daemon.fleet.runtimes["paris"]
        await core.lamps["rome"].obey(fail)
        await core.reach("rome", state)
        assert await core.daemon.reload()
        await core.reach("rome", "live")
        assert core.daemon.fleet.runtimes["paris"] is paris
