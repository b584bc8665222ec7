"""Errors that say what to do about them.

A foreign exception (httpx, trio-websocket, aiokafka, sqlite3) is mapped to one of these once, at the seam
where the foreign call stands, with ``from``. Everything else is a bug and belongs to the supervisor.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class StreamdError(Exception):
    """Root of every error that streamd raises on purpose."""


class Transient(StreamdError):
    """The link is lost or the server has a bad moment: connect again, with backoff.

    `retry_after` is the wait in seconds that the server asked for; None: the session's own backoff.
    """

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class RateLimited(Transient):
    """The server asks us to slow down (429); `retry_after` is its word where it gave one."""


class ProtocolViolation(Transient):
    """The peer said what its protocol does not allow: drop this session and open another."""


class Rejected(StreamdError):
    """The server refuses what we ask as it stands (credentials, unknown producer): try again slowly.

    `retry_after` is how many seconds the vendor wants to be left alone at least, where that is known.
    """

    def __init__(self, reason: str, *, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class BadRecord(StreamdError):
    """One record cannot be understood: dead-letter it and go on.

    `payload` is the record's bytes as they came, `origin` where they came from (never with a secret).
    """

    def __init__(self, reason: str, payload: bytes, origin: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.payload = payload
        self.origin = origin


class SpoolUnusable(StreamdError):
    """The state directory cannot be used: locked by another daemon, not writable, not a directory."""


class Problem(Struct, frozen=True):
    """One mistake in the configuration: where it is, what is wrong and what is allowed."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class ConfigError(StreamdError):
    """The configuration cannot be used; carries every mistake, not only the first. Exit code 78."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)
