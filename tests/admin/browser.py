"""Chromium without a window, steered over the DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 60.0


class Page:
    """One open page. `complaints`: what the browser's console got, refused content among it."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._ids = itertools.count(1)

    async def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and give its result."""
        number = next(self._ids)
        await self._socket.send_message(json.dumps({"id": number, "method": method, "params": parameters}))
        with trio.fail_after(SECONDS):
            while True:
                message = json.loads(await self._socket.get_message())
                if message.get("method") == "Log.entryAdded":
                    self.complaints.append(message["params"]["entry"]["text"])
                if message.get("method") == "Runtime.exceptionThrown":
                    self.complaints.append(message["params"]["exceptionDetails"]["text"])
                if message.get("id") == number:
                    assert "error" not in message, message
                    result: dict[str, Any] = message["result"]
                    return result

    async def open(self, url: str) -> None:
        """Go to a page and wait until it is there."""
        for domain in ("Page", "Runtime", "Log"):
            await self.do(f"{domain}.enable")
        await self.do("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def evaluate(self, expression: str) -> Any:
        """Give the value of a JavaScript expression."""
        answer = await self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        with trio.fail_after(SECONDS):
            while not await self.evaluate(expression):
                await trio.sleep(0.05)

    async def look(self, width: int, scheme: str, file: Path) -> None:
        """Show it that wide, light or dark, and keep a picture of all of it."""
        await self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        await self.do(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        picture = await self.do("Page.captureScreenshot", captureBeyondViewport=True)
        await trio.Path(file).write_bytes(base64.b64decode(picture["data"]))

    async def roles(self) -> list[str]:
        """Give the roles that a screen reader finds, in order."""
        tree = await self.do("Accessibility.getFullAXTree")
        return [node["role"]["value"] for node in tree["nodes"] if not node["ignored"]]


@asynccontextmanager
async def open_browser(profile: Path) -> AsyncIterator[Page]:
    """Start Chromium with an empty page."""
    browser = _start(profile)
    try:
        async with open_websocket_url(await _page_url(profile), max_message_size=2**26) as socket:
            yield Page(socket)
    finally:
        browser.kill()
        browser.wait()
        shutil.rmtree((profile / "SingletonSocket").resolve().parent)  # in /tmp, for its path must be short


def _start(profile: Path) -> subprocess.Popen[bytes]:
    assert CHROMIUM is not None
    # Without its sandbox, which needs rights that containers do not give; it opens our own page only.
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
    command = [CHROMIUM, *options, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _page_url(profile: Path) -> str:
    port_file = profile / "DevToolsActivePort"
    with trio.fail_after(SECONDS):
        while not port_file.exists() or not port_file.read_text().strip():
            await trio.sleep(0.05)
    port = port_file.read_text().splitlines()[0]
    async with httpx.AsyncClient(trust_env=False) as client:
        targets = (await client.get(f"http://127.0.0.1:{port}/json/list")).json()
    url: str = next(target for target in targets if target["type"] == "page")["webSocketDebuggerUrl"]
    return url
