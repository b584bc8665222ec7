"""Keep one data type: its subscription is there, its pushes come and are taken, and what fails is a gap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn

import trio

from streamd.connector import Context, Link
from streamd.connectors.omilia.arrivals import UNDERWAY, Pushes
from streamd.connectors.omilia.callback import ANSWER_SECONDS, Callback
from streamd.connectors.omilia.config import OmiliaConfig
from streamd.connectors.omilia.holes import Holes
from streamd.connectors.omilia.rest import Exports
from streamd.connectors.omilia.slowly import Slowly
from streamd.connectors.omilia.subscriptions import Subscriptions
from streamd.errors import Rejected, Transient
from streamd.instant import Instant, instant
from streamd.live.herald import Herald
from streamd.nurseries import lone_error

FAILED, SILENCE = "failed", "silence"
"""Kinds of gaps beside the link's own."""
PAUSE_SECONDS = ANSWER_SECONDS
"""A push that has waited that long for a process that stood still was given up."""
_TICK_SECONDS = 1.0
HEALTHY_SECONDS = 2.0  # after the last failed answer pushes are taken for accepted again


class PushSession:
    """The session of one data type."""

    stateful = False

    def __init__(
        self,
        ctx: Context[OmiliaConfig],
        data_type: str,
        pushes: Pushes,
        callback: Callback,
        exports: Exports,
        subscriptions: Subscriptions,
        holes: Holes,
    ) -> None:
        self.name = data_type
        self._ctx = ctx
        self._pushes = pushes
        self._callback = callback
        self._exports = exports
        self._subscriptions = subscriptions
        self._holes = holes
        self._online_since: datetime | None = None
        self._was_subscribed = False

    @property
    def scope(self) -> Sequence[str]:
        return [self.name]

    async def run(self, link: Link) -> None:
        """Make the subscription, and watch over it until it is gone. Raises Transient or Rejected."""
        herald = Herald(link)
        self._holes.join(self.name, herald)
        self._exports.forgive()
        if self._online_since is None:
            await self._ctx.ingress.bound()
            self._online_since = self._ctx.clock.now()
        at = await self._subscribe(herald, self._online_since)
        self._pushes.seen(at)
        await link.connected(at, schema_name=self._callback.schema_name)
        link.prove_with(self._pushes.proof)
        self._pushes.forget(at)  # what failed until then is in the link's own gap
        herald.assess_nowait()
        with lone_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(herald.run)
                nursery.start_soon(self._watch, herald)
                nursery.start_soon(self._mind_failures, herald)
                nursery.start_soon(self._mind_silence, herald)
                nursery.start_soon(self._mind_pauses, herald)

    async def _subscribe(self, herald: Herald, online_since: datetime) -> datetime:
        """Make the subscription; give since when it delivers. Raises Transient or Rejected.

        After a start pushes are proof enough of it while exports-api cannot be asked.
        """
        try:
            subscribed = await self._subscriptions.ensure(self.name)
        except (Transient, Rejected) as error:
            if self._was_subscribed or self._pushes.last_push is None:
                raise
            herald.worry("subscriptions", f"subscriptions: {error.reason}")
            return online_since
        self._was_subscribed = True
        self._callback.schema_name = subscribed.schema_name
        # One that was there has delivered since pushes could arrive, and the callback answered them.
        return subscribed.created_at or online_since

    async def _watch(self, herald: Herald) -> NoReturn:
        """Look again and again whether the subscription is there; while that cannot be known, worry."""
        slowly = Slowly(self._ctx)
        await trio.sleep(self._ctx.config.reconcile_seconds)
        while True:
            before = self._ctx.clock.now()
            try:
                right = await self._subscriptions.look(self.name)
            except Rejected as error:
                self._worry(herald, "subscriptions", f"subscriptions: {error.reason}")
                await slowly.wait()
                self._exports.forgive()
                continue
            except Transient as error:
                self._worry(herald, "subscriptions", f"subscriptions: {error.reason}")
            else:
                slowly.reset()
                if not right:
                    self._online_since = self._ctx.clock.now()
                    raise Transient(f"the subscription of {self.name} is gone", retry_after=0.0)
                self._pushes.seen(before - UNDERWAY)
                self._worry(herald, "subscriptions", None)
            await trio.sleep(self._ctx.config.reconcile_seconds)

    async def _mind_failures(self, herald: Herald) -> NoReturn:
        """Declare failed answers: what they held is dropped by Omilia until it delivers it again."""
        pushes = self._pushes
        while True:
            changed = pushes.changed
            if pushes.failed_since is None:
                await changed.wait()
                continue
            self._worry(herald, FAILED, pushes.failure)
            await herald.link.open_gap(
                FAILED, cause="push_failed", since=pushes.failed_since.told(self._ctx.clock)
            )
            with pushes.declared():
                until = await self._recovered()
                pushes.healthy()
            await herald.link.close_gap(FAILED, until=until, restored=False, count=None)
            self._worry(herald, FAILED, None)

    async def _recovered(self) -> datetime:
        """Wait until pushes are accepted and none has failed for a while; say since when."""
        pushes = self._pushes
        while True:
            changed = pushes.changed
            last, failed = pushes.last_push, pushes.failed_at
            wait = math.inf
            if last is not None and failed is not None and last.monotonic > failed.monotonic:
                wait = HEALTHY_SECONDS - (self._ctx.clock.monotonic() - failed.monotonic)
                if wait <= 0:
                    return last.told(self._ctx.clock)
            with trio.move_on_after(wait):
                await changed.wait()

    async def _mind_silence(self, herald: Herald) -> None:
        """Declare a silence that is longer than any ordinary one: pushing may have stopped unseen."""
        limit = self._ctx.config.max_silence_seconds
        if limit is None:
            return
        clock, pushes = self._ctx.clock, self._pushes
        last = instant(clock.now(), clock)
        while True:
            changed = pushes.changed
            if pushes.last_push is not None and pushes.last_push.monotonic > last.monotonic:
                last = pushes.last_push
            wait = limit - (clock.monotonic() - last.monotonic)
            if wait > 0:
                with trio.move_on_after(wait):
                    await changed.wait()
                continue
            self._worry(herald, SILENCE, f"nothing was pushed for {limit:g} s")
            await herald.link.open_gap(SILENCE, cause="silence", since=last.told(clock))
            until = await self._next_push(last)
            await herald.link.close_gap(SILENCE, until=until, restored=False, count=None)
            self._worry(herald, SILENCE, None)

    async def _mind_pauses(self, herald: Herald) -> NoReturn:
        """Declare the time in which this process stood still: frozen, swapped out, starved."""
        clock = self._ctx.clock
        while True:
            since, began = instant(clock.now() - UNDERWAY, clock), trio.current_time()
            await trio.sleep(_TICK_SECONDS)
            if trio.current_time() - began - _TICK_SECONDS > PAUSE_SECONDS:
                with self._pushes.held(since):
                    await herald.link.declare_gap(
                        cause="paused", since=since.told(clock), until=clock.now(), events="pending"
                    )

    async def _next_push(self, after: Instant) -> datetime:
        while True:
            changed = self._pushes.changed
            last = self._pushes.last_push
            if last is not None and last.monotonic > after.monotonic:
                return last.told(self._ctx.clock)
            await changed.wait()

    def _worry(self, herald: Herald, topic: str, reason: str | None) -> None:
        if herald.worry(topic, reason):
            herald.assess_nowait()

    def __repr__(self) -> str:
        return f"PushSession({self.name})"
