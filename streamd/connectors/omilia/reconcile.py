"""Decide what is to be done so that the platform's subscriptions are as configured. Pure.

Source: vendors/omilia.md section 2, "Idempotent reconcile". The list echoes neither the token endpoint, the
secret nor the headers of a subscription: what they were stands, hashed, in its `schema_name` (delivery.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from streamd.connectors.omilia.delivery import Delivery, parse_schema_name

Step = Literal["keep", "create", "replace", "remove", "leave"]
SubscriptionState = Literal[
    "unknown",
    "active",
    "missing",
    "replacing",
    "removing",
    "conflict",
    "blocked_foreign",
    "several",
    "refused",
]
"""How a subscription stands, in the words of `/status`."""


class Listed(Struct, frozen=True):
    """A subscription as the platform lists it."""

    id: str
    data_type: str
    schema_name: str
    delivery_type: str
    path: str


class Decision(Struct, frozen=True):
    """What to do about one data type: `delete` these, then create one if it is to be created or replaced."""

    data_type: str
    step: Step
    state: SubscriptionState
    reason: str | None = None
    delete: Sequence[str] = ()
    found: Listed | None = None


def decide(
    wanted: Mapping[str, Delivery],
    listed: Sequence[Listed],
    *,
    own_paths: str,
    own_ids: Collection[str],
    takeover: bool,
) -> list[Decision]:
    """Compare what is wanted, by data type, with what is listed: a decision for each type that needs a word.

    Ours is what delivers below `own_paths` (this connector's callbacks) or has an id that we were given when
    we created it. A name of our making alone is no proof: it may be the subscription of another streamd, and
    two of them would take the slot from each other for ever.
    """

    def ours(each: Listed) -> bool:
        below = each.path.removeprefix(own_paths)
        # A connector of the same group may have its paths deeper below.
        return (below != each.path and "/" not in below) or each.id in own_ids

    decisions = [
        _decide(each, [there for there in listed if slot(there.data_type) == slot(kind)], ours, takeover)
        for kind, each in wanted.items()
    ]
    return [*decisions, *_surplus({slot(kind) for kind in wanted}, filter(ours, listed))]


def slot(data_type: str) -> str:
    """Give what the platform has one subscription for; its document spells one type in two ways."""
    return "audit_events" if data_type == "audit" else data_type


def _decide(
    wanted: Delivery, found: Sequence[Listed], ours: Callable[[Listed], bool], takeover: bool
) -> Decision:
    kind = wanted.data_type
    if not found:
        return Decision(kind, "create", "missing")
    if len(found) > 1:
        # The platform allows one for each type (section 2): which of them it serves cannot be known.
        right = next((there for there in found if ours(there) and _is_right(wanted, there)), None)
        step: Step = "leave" if right is None else "keep"
        return Decision(
            kind, step, "several", f"{len(found)} subscriptions of {kind} are listed", found=right
        )
    there = found[0]
    if not ours(there):
        if not takeover:
            reason = f"another's subscription holds the slot of {kind}; `takeover = true` would replace it"
            return Decision(kind, "leave", "blocked_foreign", reason, found=there)
        return Decision(kind, "replace", "replacing", "taken over", (there.id,), there)
    if _is_right(wanted, there):
        return Decision(kind, "keep", "active", found=there)
    return Decision(kind, "replace", "replacing", "its settings differ", (there.id,), there)


def _is_right(wanted: Delivery, there: Listed) -> bool:
    name = parse_schema_name(there.schema_name)
    return (
        name is not None
        and name.fingerprint == wanted.fingerprint
        and there.delivery_type == urlsplit(wanted.path).scheme
        and there.path == wanted.path
    )


def _surplus(wanted: Collection[str], ours: Iterable[Listed]) -> Iterator[Decision]:
    for each in ours:
        if slot(each.data_type) not in wanted:
            yield Decision(each.data_type, "remove", "removing", "no longer configured", (each.id,), each)
