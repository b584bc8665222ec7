"""The way of an expected error out of nurseries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streamd.errors import StreamdError
from streamd.supervision import leaf


@contextmanager
def lone_error() -> Iterator[None]:
    """Raise the one expected error that a nursery wraps; bugs and cancellations stay in their group."""
    try:
        yield
    except BaseExceptionGroup as group:
        error = leaf(group)
        if not isinstance(error, StreamdError):
            raise
        raise error from error.__cause__
