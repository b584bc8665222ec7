"""Websockets as lists of messages: two engines behind one seam."""

from streamd.transport.websocket.inbox import Closed, LinkClosed
from streamd.transport.websocket.link import CLOSE_SECONDS, WebSocket
from streamd.transport.websocket.opening import EngineName, open_websocket
from streamd.transport.websocket.upgrade import HandshakeRejected

__all__ = [
    "CLOSE_SECONDS",
    "Closed",
    "EngineName",
    "HandshakeRejected",
    "LinkClosed",
    "WebSocket",
    "open_websocket",
]
