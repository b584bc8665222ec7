"""Make the platform's subscriptions as configured, and say how they stand.

Source: vendors/omilia.md section 2. What to do is decided in reconcile.py; here it is done, one round at a
time for the group, each beginning with a list, so that what a lost answer has left behind is found.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import NoReturn

import trio
from msgspec import Struct

from streamd.connector import Context
from streamd.connectors.omilia.answers import CONFLICT, Unaccepted
from streamd.connectors.omilia.config import OmiliaConfig
from streamd.connectors.omilia.delivery import Delivery, parse_schema_name
from streamd.connectors.omilia.reconcile import Decision, Listed, SubscriptionState, decide
from streamd.connectors.omilia.rest import Exports
from streamd.errors import RateLimited, Rejected, StreamdError, Transient
from streamd.pull.ledger import Ledger
from streamd.status import SubscriptionStatus

CONFLICT_SECONDS = 300.0
"""For how long a conflict may be the slot of a subscription that is gone already (section 2, step 5)."""
_SLOT_NOT_FREE: tuple[SubscriptionState, ...] = ("conflict", "blocked_foreign")
SHARED_SECONDS = 1.0
"""How old a list may be that answers another session's look, too."""


class Subscribed(Struct, frozen=True):
    """A subscription that is as configured. `created_at`: when it was made just now, or found again after it
    was missed, by our clock; None: it was there."""

    schema_name: str
    created_at: datetime | None


class Own(Struct, frozen=True):
    """What we know of the subscription that we made last for a data type."""

    id: str
    generation: int


class Subscriptions:
    """The subscriptions of one connector. Every call raises Transient (later) or Rejected (slowly)."""

    def __init__(
        self,
        ctx: Context[OmiliaConfig],
        exports: Exports,
        describe: Callable[[], Awaitable[Mapping[str, Delivery]]],
        own_paths: str,
    ) -> None:
        """`describe` gives what is wanted by type, or raises; ours is what delivers below `own_paths`."""
        self._ctx = ctx
        self._exports = exports
        self._describe = describe
        self._deliveries: Mapping[str, Delivery] = {}
        self._own_paths = own_paths
        self._own = Ledger(ctx, "subscription/", Own)
        self._one_at_a_time = trio.Lock()
        self._seen: tuple[float, Sequence[Listed]] | None = None
        self._conflict_since: dict[str, float] = {}
        self._seen_wrong: set[str] = set()
        self._shown = {kind: SubscriptionStatus(kind, "unknown") for kind in ctx.config.data_types}

    async def ensure(self, data_type: str) -> Subscribed:
        """Make the subscription of one type as configured, whatever is there."""
        async with self._one_at_a_time:
            decision = await self._decided(data_type)
            match decision.step:
                case "keep":
                    # Not seen before this list, it may be what a create without an answer has made only now.
                    new = data_type in self._seen_wrong
                    self._seen_wrong.discard(data_type)
                    return Subscribed(_name_of(decision), self._ctx.clock.now() if new else None)
                case "leave":
                    raise Rejected(f"{decision.state}: {decision.reason}")
            return await self._create(decision)

    async def look(self, data_type: str) -> bool:
        """Tell whether the subscription of one type is there and as configured; sessions share one list."""
        async with self._one_at_a_time:
            return (await self._decided(data_type)).step == "keep"

    async def close(self) -> None:
        """Delete what is ours, only where `delete_on_shutdown` asks for it: a restart would lose events."""
        if not self._ctx.config.delete_on_shutdown:
            await trio.lowlevel.checkpoint()
            return
        async with self._one_at_a_time:
            try:
                for decision in await self._decisions(await self._exports.subscriptions()):
                    if decision.step == "keep" and decision.found is not None:
                        await self._exports.unsubscribe(decision.found.id)
            except StreamdError as error:
                self._ctx.log.warning("subscriptions_left", reason=str(error))

    # -- looking

    async def _decided(self, data_type: str) -> Decision:
        """List, unless the list at hand will do, and give what is to be done about one type."""
        now = self._ctx.clock.monotonic()
        if self._seen is None or now - self._seen[0] > SHARED_SECONDS:
            self._seen = (now, await self._exports.subscriptions())
        decisions = await self._decisions(self._seen[1])
        for each in decisions:
            self._report(each)
            if each.step != "keep":
                self._seen_wrong.add(each.data_type)
            if each.step == "remove":
                await self._remove(each)
        return next(each for each in decisions if each.data_type == data_type)

    async def _decisions(self, listed: Sequence[Listed]) -> list[Decision]:
        self._deliveries = self._deliveries or await self._describe()
        return decide(
            self._deliveries,
            listed,
            own_paths=self._own_paths,
            own_ids={own.id for own in self._own.all().values()},
            takeover=self._ctx.config.takeover,
        )

    # -- acting

    async def _remove(self, decision: Decision) -> None:
        for each in decision.delete:
            self._seen = None
            await self._exports.unsubscribe(each)
            self._ctx.log.info("subscription_deleted", data_type=decision.data_type, reason=decision.reason)

    async def _create(self, decision: Decision) -> Subscribed:
        """Delete what is to be replaced, and create. Make before break is impossible: one for each type."""
        kind = decision.data_type
        await self._remove(decision)
        if decision.delete:
            self._conflict_since[kind] = self._ctx.clock.monotonic()
        generation = 1 + max(self._known_generation(kind), _generation_of(decision.found))
        delivery = self._deliveries[kind]
        self._seen = None
        try:
            identifier = await self._exports.subscribe(delivery.wire(generation))
        except Unaccepted as error:
            self._refused(kind, error)
        except RateLimited:
            raise
        except Transient:
            # It may exist all the same (section 2, step 5): the list tells.
            decision = await self._decided(kind)
            if decision.step != "keep" or decision.found is None:
                raise
            identifier = decision.found.id
        at = self._ctx.clock.now()
        await self._ctx.append([], self._own.put(kind, Own(identifier, generation)))
        self._conflict_since.pop(kind, None)
        self._seen_wrong.discard(kind)
        name = delivery.schema_name(generation)
        self._show(kind, "active")
        self._ctx.counters.count("subscriptions_created")
        self._ctx.log.info("subscription_created", data_type=kind, schema_name=name)
        return Subscribed(name, at)

    def _refused(self, kind: str, error: Unaccepted) -> NoReturn:
        """Raise what a refused create means: the slot is not free yet, never will be, or a rule is broken.

        The status is no sure sign: until some time after a delete, or after the first 409, it may be the
        former subscription's slot; then it is somebody's whom our list does not show (section 2, step 6).
        """
        now = self._ctx.clock.monotonic()
        if error.status == CONFLICT:
            self._conflict_since.setdefault(kind, now)
        since = self._conflict_since.get(kind)
        if since is not None and now - since < CONFLICT_SECONDS:
            self._show(kind, "conflict", error.reason)
            raise Transient(f"the slot of {kind} is not free yet: {error.reason}") from error
        if error.status == CONFLICT:
            self._show(kind, "blocked_foreign", error.reason)
            raise Rejected(
                f"blocked_foreign: someone holds the slot of {kind} unlisted: {error.reason}"
            ) from error
        self._show(kind, "refused", error.reason)
        raise error

    def _known_generation(self, kind: str) -> int:
        own = self._own.get(kind)
        return own.generation if own is not None else 0

    # -- saying

    def _report(self, decision: Decision) -> None:
        before = self._shown.get(decision.data_type)
        if decision.state == "missing" and before is not None and before.state in _SLOT_NOT_FREE:
            return  # the same story: nothing is listed, and the slot is not free
        self._show(decision.data_type, decision.state, decision.reason)

    def _show(self, kind: str, state: SubscriptionState, reason: str | None = None) -> None:
        before = self._shown.get(kind)
        self._shown[kind] = SubscriptionStatus(kind, state, reason)
        if state in ("several", "blocked_foreign") and (before is None or before.state != state):
            self._ctx.log.warning("subscription_not_ours", data_type=kind, state=state, reason=reason)
        if state == "removing":
            del self._shown[kind]
        self._ctx.show_subscriptions(list(self._shown.values()))


def _name_of(decision: Decision) -> str:
    assert decision.found is not None, "what is kept was found"
    return decision.found.schema_name


def _generation_of(found: Listed | None) -> int:
    name = parse_schema_name(found.schema_name) if found is not None else None
    return name.generation if name is not None else 0
