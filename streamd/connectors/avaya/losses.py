"""The end of a connection as an error, and the way of it out of nurseries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streamd.connectors.avaya.protocol import Loss
from streamd.errors import StreamdError, Transient
from streamd.supervision import leaf


class ConnectionLost(Transient):
    """The connection is of no more use, for a reason that says what to do next."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.reason)
        self.loss = loss


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
