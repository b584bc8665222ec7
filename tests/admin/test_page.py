"""The page for people, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamd.connector import Context, Link
from streamd.errors import Rejected
from tests.admin.browser import CHROMIUM, Page, open_browser
from tests.core import Core, open_core

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed here")
CONNECTORS = ["avaya-emea", "o2g-paris", "oracle-quality"]
WIDTHS = {"phone": 380, "desk": 1280}


async def trouble(core: Core) -> None:
    """Let one connector be refused and one be degraded, beside one that is live."""

    async def refuse(context: Context[Any], link: Link) -> None:
        raise Rejected("401 Unauthorized: the login is not known")

    async def degrade(context: Context[Any], link: Link) -> None:
        await link.degraded("one of two nodes answers")

    await core.lamps["o2g-paris"].obey(refuse)
    await core.lamps["oracle-quality"].obey(degrade)
    await core.reach("o2g-paris", "refused")
    await core.switch("avaya-emea", 500)


async def text(page: Page) -> str:
    """Give what is to be read on it."""
    shown: str = await page.evaluate("document.body.innerText")
    return shown


async def test_it_renews_itself_and_says_when_the_daemon_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_browser(tmp_path / "profile") as page:
        async with open_core(tmp_path, monkeypatch, connectors=CONNECTORS) as core:
            await page.open(f"{core.url}/")
            assert "all live, Kafka away" in await text(page)
            await trouble(core)
            await page.until("document.title === 'streamd: 1 of 3 live'")
            assert "401 Unauthorized: the login is not known" in await text(page)
            assert page.complaints == []
        await page.until("document.body.innerText.includes('streamd has not answered since')")


@pytest.mark.parametrize("device", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_the_screen_and_stays_a_table_for_a_screen_reader(
    device: str, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_core(tmp_path, monkeypatch, connectors=CONNECTORS) as core,
        open_browser(tmp_path / "profile") as page,
    ):
        await trouble(core)
        await page.open(f"{core.url}/")
        picture = tmp_path / f"{device}-{scheme}.png"
        await page.look(WIDTHS[device], scheme, picture)
        assert picture.stat().st_size > 10_000
        assert await page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[device]
        dark = await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 22)"
        assert dark == (scheme == "dark")
        roles = await page.roles()
        assert roles.count("table") == 2
        assert roles.count("rowheader") >= 3 + 3  # a row for each connector, and the gaps of the new spool
        assert roles.count("columnheader") == 14
        assert roles.count("meter") == 4


async def test_a_browser_gets_in_with_the_token_as_password_and_stays_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = 'token = "horse"'
    async with (
        open_core(tmp_path, monkeypatch, connectors=CONNECTORS, host="0.0.0.0", admin=admin) as core,
        open_browser(tmp_path / "profile") as page,
    ):
        await page.open(core.url.replace("http://", "http://anyone:horse@") + "/")
        await trouble(core)
        await page.until("document.title === 'streamd: 1 of 3 live'")
        assert page.complaints == []
