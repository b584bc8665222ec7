"""Resolve `{ env = … }`, `{ file = … }` and `{ credential = … }`, which may stand for any string value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SOURCES = ("env", "file", "credential")
FORM = '{ env = "NAME" }, { file = "PATH" } or { credential = "NAME" }'
DIRECTORY = "CREDENTIALS_DIRECTORY"
# systemd allows 1 MB of credentials in all; nothing longer is a secret.
LONGEST_BYTES = 1_000_000


class Unresolved(ValueError):
    """The secret is not where the table says; the text says why and never what it is."""


def is_secret_table(value: object) -> bool:
    """Tell whether this is a table with nothing but the names of a secret's source and texts."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(name in SOURCES and isinstance(text, str) for name, text in value.items())
    )


def resolve(table: Mapping[str, Any]) -> str:
    """Give the text that a secret table stands for. Raises Unresolved."""
    if len(table) != 1:
        raise Unresolved(f"must have one source: {FORM}")
    [(source, name)] = table.items()
    text = _from_environment(name) if source == "env" else _from_file(_path(source, name))
    if not text:
        raise Unresolved(f"is empty in {_described(source, name)}")
    return text


def _from_environment(name: str) -> str:
    if name not in os.environ:
        raise Unresolved(f"the environment variable {name} is not set")
    return os.environ[name]


def _path(source: str, name: str) -> Path:
    if source == "file":
        return Path(name)
    directory = os.environ.get(DIRECTORY)
    if not directory:
        raise Unresolved(f"the credential {name} cannot be had: ${DIRECTORY} is not set (systemd sets it)")
    if "/" in name or name in {"", ".", ".."}:
        raise Unresolved(f"{name!r} is no name of a credential")
    return Path(directory, name)


def _from_file(path: Path) -> str:
    """Read the file and strip one newline at its end, which editors add."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Unresolved(f"the file {path} cannot be read: {reason}") from error
    if len(content) > LONGEST_BYTES:
        raise Unresolved(f"the file {path} is too long for a secret: over {LONGEST_BYTES} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        # The original holds the whole secret, so it must not travel along as the cause.
        raise Unresolved(f"the file {path} is not UTF-8 at byte {error.start}") from None
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def _described(source: str, name: str) -> str:
    return {"env": "the environment variable", "file": "the file", "credential": "the credential"}[
        source
    ] + f" {name}"
