"""Who is let in."""

from __future__ import annotations

import base64

import pytest

from streamd.admin.access import is_allowed
from streamd.config import Secret

TOKEN = Secret("pässword:with colons")


def basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer pässword:with colons",
        "bearer  pässword:with colons ",
        basic("admin:pässword:with colons"),
        basic(":pässword:with colons").replace("Basic", "BASIC"),
    ],
)
def test_the_token_opens_as_bearer_and_as_the_password_of_basic(authorization: str) -> None:
    assert is_allowed(TOKEN, authorization)


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer pässword",
        "pässword:with colons",
        "Digest pässword:with colons",
        basic("pässword:with colons"),
        basic("pässword:with colons:"),
        "Basic !!!",
        "Basic é",
        "Basic",
    ],
)
def test_nothing_else_opens(authorization: str | None) -> None:
    assert not is_allowed(TOKEN, authorization)


def test_where_there_is_no_token_all_is_open() -> None:
    assert is_allowed(None, None)
