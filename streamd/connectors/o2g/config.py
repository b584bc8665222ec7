"""The table of an O2G connector, and what its types cannot express."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr

from streamd.config import ConnectorConfig, Count, Positive, PrivacyConfig, Rules, Secret
from streamd.config.checks import check_base_url
from streamd.connectors.o2g.catalogue import OF_LOGINS, Package
from streamd.errors import Problem

Name = Annotated[str, Meta(min_length=1)]
Ids = Literal["all"] | list[Name]

# The names of streams' keys and of what the resync awaits: masked or dropped, nothing could be told apart.
_NEEDED = ("eventName", "loginName", "callRef", "previousCallRef")
_DIGITS = ("dataCollected.digits",)


class Selector(Struct, frozen=True, forbid_unknown_fields=True):
    """What to subscribe to: packages, and whose.

    `ids` are login names, numbers for `pilot`; "all" (and, for an account that is no administrator's, leaving
    them out) is everybody there is, also who comes later. O2G's own word for that, `["*"]` (vendors/o2g.md,
    1.6), is read as "all". The other packages take none.
    """

    packages: list[Package]
    ids: Ids | None = None

    def __post_init__(self) -> None:
        if self.ids == ["*"]:
            force_setattr(self, "ids", "all")


class RtiConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The context of realtime indicators: of what, how often (vendors/o2g.md, section 1.8)."""

    obs_period_minutes: Annotated[int, Meta(ge=15, le=60)] = 15
    notif_frequency_seconds: Annotated[int, Meta(ge=5)] = 30
    agents: Ids = "all"
    pilots: Ids = "all"
    queues: Ids = "all"
    pg_agents: Ids = "all"
    pg_others: Ids = "all"
    attributes: list[Name] = field(default_factory=lambda: ["ALL"])


class O2gPrivacy(PrivacyConfig, frozen=True, forbid_unknown_fields=True):
    """What never leaves the building. What callers dial may be a PIN (vendors/o2g.md, section 2, rsi): it is
    masked without being named, unless `defaults` is false."""

    defaults: bool = True

    @property
    def withholds(self) -> bool:
        """Not for the defaults alone: they are about one event of many."""
        return bool(self.rules_set) and self.dead_letter != "full"

    def by_default(self) -> Rules:
        """Mask the digits that a caller dialled."""
        return Rules(mask=self.unnamed(_DIGITS) if self.defaults else ())


class O2gConfig(ConnectorConfig, frozen=True, kw_only=True):
    """The keys of an O2G connector, in O2G's words (INTERFACE.md)."""

    urls: list[str]
    """Roots of the O2G servers, the preferred one first; several are geographic HA."""
    login: Name
    password: Secret
    selectors: list[Selector]
    timeout_minutes: Annotated[int, Meta(ge=0, le=60)] = 0
    """When the server closes the channel; 0: never, and it sends heartbeats."""
    idle_timeout_seconds: Positive | None = None
    """How long the channel may be silent. None: see `protocol.Silence`."""
    address: Literal["private", "public"] | None = None
    """Which URL of the two that O2G gives of everything. None: the one on the host of `urls`, or private."""
    failback_seconds: Positive = 60.0
    """How long the first of `urls` has to be well before it is used again."""
    when_full: Literal["drop", "wait"] = "drop"
    rti: RtiConfig | None = None
    application_name: Name = "streamd"
    snapshot_limit_seconds: Positive = 10.0
    """How long nothing may come of a snapshot before it is asked for again, user by user."""
    users_seconds: Positive = 300.0
    """How often the logins are read again where `ids` is "all"."""
    reopen_floor_seconds: Positive = 5.0
    """A channel that was open for less is opened again with backoff instead of at once."""
    max_line_bytes: Count = 16 * 1024**2
    privacy: O2gPrivacy = O2gPrivacy()


def check(config: O2gConfig, path: str) -> Sequence[Problem]:
    """Find what is wrong with a table whose types are right; `path` is the table's TOML path."""
    found = [Problem(f"{path}.{key}", message) for key, message in _problems(config)]
    for index, url in enumerate(config.urls):
        found += check_base_url(url, f"{path}.urls[{index}]", config.insecure)
    return found


def root_url(url: str) -> str:
    """Give the REST root of a server of `urls`: /api/rest unless a path is given (vendors/o2g.md, 1.0)."""
    url = url.rstrip("/")
    return url if urlsplit(url).path else f"{url}/api/rest"


def packages(config: O2gConfig) -> Sequence[Package]:
    """Give the packages that are subscribed to, each once, in the table's order."""
    return list(dict.fromkeys(name for selector in config.selectors for name in selector.packages))


def _problems(config: O2gConfig) -> Iterator[tuple[str, str]]:
    if not config.urls:
        yield "urls", "must name at least one server, such as https://o2g.example.net"
    for index, url in enumerate(config.urls):
        if url in config.urls[:index]:
            yield f"urls[{index}]", "stands there twice"
    if not config.password.reveal():
        yield "password", "must not be empty"
    yield from _selector_problems(config.selectors)
    if config.timeout_minutes == 1:
        yield "timeout_minutes", "must be 0 or 2 to 60"
    if config.rti is not None and "rti" not in packages(config):
        yield "rti", 'needs a selector with the package "rti"'
    if config.retry_max_seconds < config.retry_min_seconds:
        yield "retry_max_seconds", "must not be less than retry_min_seconds"
    for rule in ("drop", "mask"):
        for index, name in enumerate(getattr(config.privacy, rule)):
            if name in _NEEDED:
                yield f"privacy.{rule}[{index}]", f"{name} tells events apart; it can only be hashed"


def _selector_problems(selectors: Sequence[Selector]) -> Iterator[tuple[str, str]]:
    if not selectors:
        yield "selectors", 'must name at least one, such as { packages = ["telephony"], ids = "all" }'
    for index, selector in enumerate(selectors):
        if not selector.packages:
            yield f"selectors[{index}].packages", 'must name at least one, such as "telephony"'
        if selector.ids == []:
            yield f"selectors[{index}].ids", 'must be "all" or name at least one'
        without = [name for name in selector.packages if name != "pilot" and name not in OF_LOGINS]
        if without and isinstance(selector.ids, list):
            yield f"selectors[{index}].ids", f"{without[0]} takes no ids; give it a selector of its own"
