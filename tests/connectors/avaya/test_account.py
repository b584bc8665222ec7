"""The account's own rules, which its producers share."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from streamd.connectors.avaya.account import Account
from streamd.errors import Rejected
from streamd.transport.http import open_http
from tests.connectors.avaya.rogue import open_rogue


class Wound:
    """A clock that a test winds on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return trio.current_time() + self.ahead


async def unused(stream: trio.SocketStream, _: int) -> None:
    await trio.sleep_forever()


async def test_refused_credentials_are_tried_every_five_minutes_at_most_whoever_asks(quick: Any) -> None:
    clock = Wound()
    async with open_rogue(unused) as rogue:
        rogue.rest = lambda method, path: (401, {}, {})
        ctx: Any = SimpleNamespace(
            config=quick(rogue.base_url), clock=clock, counters=SimpleNamespace(count=lambda name: None)
        )
        async with open_http(rogue.base_url) as http:
            account = Account(ctx, http)
            for _ in range(20):
                with pytest.raises(Rejected):
                    await account.token()
                clock.ahead += 37.0  # 740 s in all
            assert len(rogue.requests) == 3
            known = account.refusal
            account.try_again(known)
            for _ in range(3):
                with pytest.raises(Rejected):
                    await account.token()
                account.try_again(known)  # what the others know is not the last refusal any more
            assert len(rogue.requests) == 4
