"""The end of a connection as an error."""

from __future__ import annotations

from streamd.connectors.avaya.protocol import Loss
from streamd.errors import Transient


class ConnectionLost(Transient):
    """The connection is of no more use, for a reason that says what to do next."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.reason)
        self.loss = loss
