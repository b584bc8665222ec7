"""A callback verifies in whichever form its sender signs where it goes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streamd.config import Secret
from streamd.connectors.huawei_aicc.callbacks import Callbacks
from streamd.connectors.huawei_aicc.config import HuaweiConfig
from streamd.connectors.huawei_aicc.jobs import Jobs
from streamd.connectors.huawei_aicc.signing import Keys, Message, sign
from streamd.probe import ProbeContext
from streamd.transport.exchange import Request

NOW = datetime(2024, 5, 1, 1, 5, tzinfo=UTC)
SECRET = Secret("not-a-real-secret")
BODY = b'{"msgBody":{"responseId":"0f0e0d0c0b0a09080706050403020100","billFileName":"x"}}'
CONFIG = HuaweiConfig(
    type="huawei_aicc",
    base_url="https://ccfs.example.net",
    access_key=Secret("TESTAK0001"),
    secret_key=SECRET,
    request_zone="Asia/Shanghai",
)
SIX = "http://[2001:db8::1]:8000/hook"


async def status(url: str, came_to: str, host: str, path: str) -> int:
    """Send a callback through a proxy that has a name of its own; `path` and `host` are signed."""
    context = ProbeContext("aicc", CONFIG)
    callbacks = Callbacks(context, Jobs(context), url, lambda: NOW)
    authorization = sign(Keys("TESTAK0001", SECRET), Message("POST", path, {"host": host}, BODY), NOW)
    headers = {"host": "proxy.internal", "authorization": authorization}
    return (await callbacks.answer(Request("POST", came_to, "", headers, BODY, "127.0.0.1"))).status


@pytest.mark.parametrize(
    ("url", "came_to", "host", "path"),
    [
        (SIX, "/hook", "[2001:db8::1]:8000", "/hook"),
        (SIX, "/hook", "[2001:db8::1]", "/hook"),
        (SIX, "/hook", "2001:db8::1", "/hook"),
        (SIX, "/hook", "proxy.internal", "/hook"),
        ("https://x.example/a%20b/%C3%A9", "/a b/é", "x.example", "/a%20b/%C3%A9"),
        ("https://x.example/outer/hook", "/hook", "x.example", "/outer/hook"),
        ("https://x.example:8443", "/", "x.example:8443", ""),
        ("https://x.example:8443", "/", "x.example", "/"),
    ],
)
async def test_a_callback_is_taken_as_its_sender_may_have_signed_it(
    url: str, came_to: str, host: str, path: str
) -> None:
    assert await status(url, came_to, host, path) == 200
    assert await status(url, came_to, "elsewhere.example", path) == 401
    assert await status(url, came_to, host, "/elsewhere") == 401
