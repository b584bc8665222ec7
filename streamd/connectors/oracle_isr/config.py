"""The table of an Oracle ISR connector, and what its types cannot express."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from math import inf
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from msgspec import Meta, field

from streamd.config import ConnectorConfig, Positive, Secret
from streamd.config.checks import check_base_url, warn_of_short
from streamd.errors import Problem
from streamd.ingress.sources import Sources

Name = Annotated[str, Meta(min_length=1)]
NotNegative = Annotated[float, Meta(ge=0)]

LEAST_POLL_SECONDS = 5.0
_LONG_ENOUGH = 16  # characters
# What tells recordings apart and links their replies.
_NEEDED = ("recordingId", "tmpRecordingId", "isrUcid", "ingressCallId", "startTime", "segments[].end")


class OracleIsrConfig(ConnectorConfig, frozen=True, kw_only=True):
    """The keys of an Oracle ISR connector (INTERFACE.md)."""

    base_url: str
    """The server; `/Face` is added unless a path is given."""
    user_email: Name
    """A user of the type "API User": no other may use FACE."""
    password: Secret
    time_zone: Name = "UTC"
    """The zone in which the server writes times: UTC, or the API user's (`userTimeZoneFeatureEnabled`)."""
    poll_seconds: float = 10.0
    settle_seconds: NotNegative = 5.0
    """How long a recording must have ended before a window reaches over its end."""
    overlap_seconds: NotNegative = 120.0
    """How far each window reaches back, for recordings that are inserted late."""
    start_from: datetime | None = None
    """What ended from then on is fetched at the first start; None: from the first start on."""
    notification_path_secret: Secret | None = None
    notification_sources: list[str] = field(default_factory=list)
    """Addresses and networks that notifications may come from; empty: any."""
    token_seconds: Annotated[int, Meta(ge=60, le=86400)] = 3600
    """What life is asked for a token; the server may give less."""
    relogin_seconds: Positive = 60.0
    """How long a token has to be tried before one that is refused is replaced."""
    chase_seconds: Positive = 1800.0
    """How long a recording that runs no more is looked for before it is lost."""
    list_length: Annotated[int, Meta(ge=2, le=1000)] = 1000
    """How many recordings are listed at most; a list that long is taken for cut."""
    repair_quotes: bool = False
    """Whether JSON that cannot be read is tried again with straight quotes for curly ones."""


def check(config: OracleIsrConfig, path: str) -> Sequence[Problem]:
    """Find what is wrong with a table whose types are right; `path` is the table's TOML path."""
    found = [Problem(f"{path}.{key}", message) for key, message in _problems(config)]
    return [*check_base_url(config.base_url, f"{path}.base_url", config.insecure), *found]


def warn(config: OracleIsrConfig, path: str) -> Sequence[Problem]:
    """Say what is unwise in such a table."""
    secret = config.notification_path_secret
    return warn_of_short(secret, _LONG_ENOUGH, "have us poll", f"{path}.notification_path_secret")


def face_url(base_url: str) -> str:
    """Give the root of FACE: /Face unless a path is given (vendors/oracle_isr.md, section 1)."""
    url = base_url.rstrip("/")
    return url if urlsplit(url).path else f"{url}/Face"


def _problems(config: OracleIsrConfig) -> Iterator[tuple[str, str]]:
    if not config.password.reveal():
        yield "password", "must not be empty"
    if not LEAST_POLL_SECONDS <= config.poll_seconds < inf:
        yield (
            "poll_seconds",
            f"must be at least {LEAST_POLL_SECONDS:g}: the vendor asks clients to pace themselves",
        )
    if not _is_zone(config.time_zone):
        yield "time_zone", "must be a zone of the tz database, such as UTC or Europe/Berlin"
    if config.start_from is not None and config.start_from.tzinfo is None:
        yield "start_from", "must have a zone, such as 2026-05-01T00:00:00Z"
    if config.chase_seconds >= 3600:
        yield "chase_seconds", "must be less than 3600: windows reach back that far while one is looked for"
    if config.retry_max_seconds < config.retry_min_seconds:
        yield "retry_max_seconds", "must not be less than retry_min_seconds"
    yield from _notification_problems(config)
    for rule in ("drop", "mask", "hash"):
        for index, name in enumerate(getattr(config.privacy, rule)):
            if any(f"{needed}.".startswith((f"{name}.", f"{name}[")) for needed in _NEEDED):
                yield (
                    f"privacy.{rule}[{index}]",
                    f"{name} tells recordings apart; it cannot be left out or altered",
                )


def _notification_problems(config: OracleIsrConfig) -> Iterator[tuple[str, str]]:
    secret = config.notification_path_secret
    if secret is not None and (not secret.reveal() or "/" in secret.reveal()):
        yield "notification_path_secret", "must not be empty, and have no slash"
    if secret is None and config.notification_sources:
        yield "notification_sources", "has no use without notification_path_secret"
    for index, source in enumerate(config.notification_sources):
        try:
            Sources([source])
        except ValueError:
            yield f"notification_sources[{index}]", "must be an address or a network such as 192.0.2.0/24"


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return False
    return True
