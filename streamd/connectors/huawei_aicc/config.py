"""The table of a Huawei AICC connector, and what its types cannot express."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct, field

from streamd.config import Bytes, ConnectorConfig, Positive, Secret
from streamd.config.checks import check_base_url
from streamd.errors import Problem

DataType = Literal["call", "record", "call_record"]
Duration = Annotated[float, Meta(ge=0)]
SignedHeader = Literal["content-length", "content-type", "host"]

DAY_SECONDS = 86_400.0
# Three days are the vendor's own limit; an hour of them is for the night when clocks change (section 6).
LONGEST_WINDOW_SECONDS = 3 * DAY_SECONDS - 3600
# What tells rows, calls and keys apart.
_NEEDED = ("cc_id", "call_id", "call_id_num")
_PATH = re.compile(r"/[^?#\s]*")


class DeepConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The re-reading that catches late rows: how often, and how far back."""

    every_seconds: Positive = DAY_SECONDS
    lookback_seconds: Positive = 2 * DAY_SECONDS


class HuaweiConfig(ConnectorConfig, frozen=True, kw_only=True):
    """The keys of a Huawei AICC connector (INTERFACE.md; more where useful)."""

    base_url: str
    """Where CC-FS or the NSLB before it listens: https://host:port; /CCFS/resource/ccfs is added."""
    access_key: Secret
    """The developer's appId, AK: half of what signs, so it shows nowhere."""
    secret_key: Secret
    account_id: Annotated[str, Meta(max_length=20)] = ""
    """The tenant space; empty: all of this developer."""
    data_type: DataType = "call_record"
    request_zone: str
    """Zone of the tenant space, in which windows are asked for."""
    row_zone: str | None = None
    """Zone in which rows tell their times. None: `request_zone`."""
    signed_headers: list[SignedHeader] = field(
        default_factory=lambda: ["content-length", "content-type", "host"]
    )
    signing_host: str | None = None
    """The Host that is sent and signed. None: that of `base_url`."""
    step_seconds: Positive = 900.0
    lookback_seconds: Duration = 1800.0
    settle_seconds: Duration = 300.0
    catch_up_seconds: Positive = DAY_SECONDS
    """How much is asked for at once while further behind than a step."""
    look_seconds: Positive = 60.0
    """How often CC-FS is asked for its time while there is no window to ask for."""
    start_from: datetime | None = None
    """Where the first walk begins. None: now."""
    deep: DeepConfig = DeepConfig()
    callback: bool = True
    callback_auth: Literal["strict", "hint"] = "strict"
    callback_path: str | None = None
    """Where callbacks come in. None: /huawei_aicc/<connector>."""
    callback_url: str | None = None
    """What is sent as callBackURL. None: [ingress].public_url with `callback_path`, without callbacks a URL
    that leads nowhere, for the field is mandatory."""
    callback_skew_seconds: Positive = 900.0
    callback_wait_seconds: Positive = 120.0
    """How long a callback is waited for before the file is asked for (T1 of section 6)."""
    job_seconds: Positive = 1800.0
    """After how long a window is asked for again (T2)."""
    poll_seconds: Positive = 10.0
    """How often a file is asked for that is not there yet."""
    download_idle_seconds: Positive = 60.0
    max_zip_bytes: Bytes = 2 * 1024**3
    max_inflated_bytes: Bytes = 16 * 1024**3
    unauthorized_seconds: Positive = 900.0
    locked_seconds: Positive = 1800.0


def check(config: HuaweiConfig, path: str) -> Sequence[Problem]:
    """Find what is wrong with a table whose types are right; `path` is the table's TOML path."""
    found = [Problem(f"{path}.{key}", message) for key, message in _problems(config)]
    found += check_base_url(config.base_url, f"{path}.base_url", config.insecure)
    if config.callback_url is not None:
        found += check_base_url(config.callback_url, f"{path}.callback_url", insecure=True)
    return found


def callback_path(config: HuaweiConfig, name: str) -> str:
    """Give the path that callbacks come to, percent-decoded; `name` is the connector's."""
    return config.callback_path or f"/huawei_aicc/{name}"


def zone_of(name: str) -> ZoneInfo | None:
    """Give a time zone by its name; None where there is none of it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a directory
        return None


def _problems(config: HuaweiConfig) -> Iterator[tuple[str, str]]:
    if not config.access_key.reveal() or "/" in config.access_key.reveal():
        yield "access_key", "must not be empty, and be without slashes"
    if not config.secret_key.reveal():
        yield "secret_key", "must not be empty"
    for key, name in (("request_zone", config.request_zone), ("row_zone", config.row_zone)):
        if name is not None and zone_of(name) is None:
            yield key, "must be the name of a time zone, such as Asia/Shanghai"
    if "host" not in config.signed_headers:
        yield "signed_headers", 'must have "host"'
    if config.start_from is not None and config.start_from.tzinfo is None:
        yield "start_from", "must have a zone, such as 2024-05-01T00:00:00Z"
    if config.callback_path is not None and not _PATH.fullmatch(config.callback_path):
        yield "callback_path", "must begin with a slash, and have no query"
    yield from _duration_problems(config)
    for rule in ("drop", "mask"):
        for index, name in enumerate(getattr(config.privacy, rule)):
            if name in _NEEDED:
                yield f"privacy.{rule}[{index}]", f"{name} tells rows and calls apart; it can only be hashed"


def _duration_problems(config: HuaweiConfig) -> Iterator[tuple[str, str]]:
    for key in ("step_seconds", "catch_up_seconds"):
        if getattr(config, key) + config.lookback_seconds > LONGEST_WINDOW_SECONDS:
            yield key, "must be, with lookback_seconds, below three days and an hour less"
    if config.catch_up_seconds < config.step_seconds:
        yield "catch_up_seconds", "must not be less than step_seconds"
    if config.job_seconds <= config.callback_wait_seconds:
        yield "job_seconds", "must be more than callback_wait_seconds"
