"""A vendor of one folder, found by the registry like any other: pushed to, and with many kinds of keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from streamd.config import ConnectorConfig, Count, PrivacyConfig, Secret
from streamd.config.checks import check_base_url
from streamd.connector import ConnectorType, Context, Session
from streamd.errors import Problem
from streamd.model import Stream

PRESSES = Stream("pushbutton", "presses")
BUTTONS = Stream("pushbutton", "buttons.state", "compact")


class Selector(Struct, frozen=True, forbid_unknown_fields=True):
    packages: Annotated[list[str], Meta(min_length=1)]
    ids: Literal["all"] | list[str] | None = None


class PushbuttonPrivacy(PrivacyConfig, frozen=True):
    allow_attached_data: bool = False


class PushbuttonConfig(ConnectorConfig, frozen=True, kw_only=True):
    base_url: str
    password: Secret
    path: str = "/push"
    wait: Literal["drop", "wait"] = "wait"
    selectors: list[Selector] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    start_from: Annotated[datetime, Meta(tz=True)] | None = None
    limits: dict[str, Count] = field(default_factory=dict)
    account: Annotated[str, Meta(min_length=3, max_length=6)] = "ABCDEF"
    privacy: PushbuttonPrivacy = PushbuttonPrivacy()


class Press(Struct, frozen=True):
    button: str
    at: Annotated[datetime, Meta(tz=True)]


def check(config: PushbuttonConfig, path: str) -> Sequence[Problem]:
    return check_base_url(config.base_url, f"{path}.base_url", config.insecure)


@asynccontextmanager
async def open_sessions(ctx: Context[PushbuttonConfig]) -> AsyncIterator[Sequence[Session]]:
    yield ()


async def probe(ctx: Context[PushbuttonConfig]) -> None:
    await ctx.append([])


CONNECTOR = ConnectorType(
    name="pushbutton",
    config=PushbuttonConfig,
    check=check,
    streams=lambda config: (PRESSES, BUTTONS),
    schemas={"streamd.button.pressed": Press, "streamd.button.state": Press},
    open=open_sessions,
    probe=probe,
    stream_of={"streamd.button.pressed": PRESSES, "streamd.button.state": BUTTONS},
    ingress_paths=lambda config: (config.path,),
)
