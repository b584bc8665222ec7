"""Keep a session alive while its channel streams: two signals, two reactions (section 3, row 10)."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import trio

from streamd.connector import Context
from streamd.connectors.o2g.account import Account
from streamd.connectors.o2g.config import O2gConfig
from streamd.connectors.o2g.protocol import DEFAULT_LIFE, SessionGone, keepalive_seconds
from streamd.errors import Transient

SOONER = 4


async def keep_alive(ctx: Context[O2gConfig], account: Account, worry: Callable[[str | None], None]) -> None:
    """Send keepalives for ever, whatever else is sent.

    `worry` is told what is wrong with them, or None. Raises SessionGone when the server says so, or when none
    succeeded for the session's life; till then one that fails is tried again sooner, and the channel is read.
    """
    life = min(account.info.time_to_live or DEFAULT_LIFE, DEFAULT_LIFE)
    period = wait = keepalive_seconds(account.info.time_to_live)
    good_at = monotonic()
    while True:
        await trio.sleep(wait)
        wait = period
        try:
            await account.keep_alive()
        except SessionGone:
            raise
        except Transient as error:
            ctx.counters.count("keepalives_failed")
            if monotonic() - good_at > life:
                raise SessionGone(f"no keepalive for the session's life: {error.reason}") from error
            worry(f"keepalives fail: {error.reason}")
            wait = period / SOONER
        else:
            good_at = monotonic()
            worry(None)
