"""What to subscribe to, with `ids = "all"` resolved to who is there now (vendors/o2g.md, 1.5 and 1.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from streamd.connectors.o2g.account import Account
from streamd.connectors.o2g.catalogue import OF_ALL, OF_LOGINS
from streamd.connectors.o2g.config import Ids, O2gConfig, RtiConfig
from streamd.errors import Rejected

ALL = "all"
_RTI_FILTERS = {
    "agentFilter": "agents",
    "pilotFilter": "pilots",
    "queueFilter": "queues",
    "pgAgentFilter": "pgAgents",
    "pgOtherFilter": "pgOthers",
}


class Selection(Struct, frozen=True):
    """Package -> ids, sorted; None: the package takes none."""

    ids: Mapping[str, Sequence[str] | None]

    @property
    def selectors(self) -> Sequence[Mapping[str, Any]]:
        """Give the selectors of the subscription: packages with the same ids share one.

        A package for which nobody is there has none.
        """
        names: dict[tuple[str, ...] | None, list[str]] = {}
        for package, ids in self.ids.items():
            if ids is None or ids:
                names.setdefault(None if ids is None else tuple(ids), []).append(package)
        return [
            {"ids": [] if ids is None else list(ids), "names": packages} for ids, packages in names.items()
        ]

    def of(self, package: str) -> frozenset[str]:
        """Give the ids of a package."""
        return frozenset(self.ids.get(package) or ())

    def lacks(self, other: Selection) -> bool:
        """Tell whether `other` has anybody whom this one has not."""
        return any(not other.of(package) <= self.of(package) for package in other.ids)


def follows(config: O2gConfig) -> bool:
    """Tell whether who comes and goes has to be followed."""
    return any(
        package in OF_LOGINS and not isinstance(selector.ids, list)
        for selector in config.selectors
        for package in selector.packages
    )


async def select(account: Account, config: O2gConfig) -> Selection:
    """Look up who is there, for every package that is meant for all; raises as Account does."""
    found: dict[str, set[str] | None] = {}
    for selector in config.selectors:
        for package in selector.packages:
            ids = await _ids(account, package, selector.ids)
            former = found.get(package)
            found[package] = ids if ids is None or former is None else former | ids
    return Selection({package: None if ids is None else sorted(ids) for package, ids in found.items()})


async def realtime_context(account: Account, config: RtiConfig) -> Mapping[str, Any]:
    """Make the context of realtime indicators, with "all" resolved: no wildcard is documented (1.8)."""
    wanted: Mapping[str, Ids] = {
        "agents": config.agents,
        "pilots": config.pilots,
        "queues": config.queues,
        "pgAgents": config.pg_agents,
        "pgOthers": config.pg_others,
    }
    filters = {}
    for name, what in _RTI_FILTERS.items():
        ids = wanted[what]
        numbers = ids if isinstance(ids, list) else await account.realtime_numbers(what)
        if numbers:
            filters[name] = {"numbers": list(numbers), "attributes": config.attributes}
    return {
        "obsPeriod": config.obs_period_minutes,
        "notifFrequency": config.notif_frequency_seconds,
        "filter": filters,
    }


async def _ids(account: Account, package: str, ids: Ids | None) -> set[str] | None:
    if package in OF_ALL:
        return {"*"}
    if package != "pilot" and package not in OF_LOGINS:
        return None
    if isinstance(ids, list):
        return set(ids)
    if package == "pilot":
        return set(await account.realtime_numbers("pilots"))
    try:
        return set(await account.logins(package))
    except Rejected:
        if package != "agent":
            raise
        # A server that does not know how to list agents alone.
        return set(await account.logins("telephony"))
