"""End TCP as asked."""

from __future__ import annotations

import struct
from socket import SO_LINGER, SOL_SOCKET

import trio

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


def transport(stream: Stream) -> trio.SocketStream:
    """Return the TCP stream under `stream`."""
    return stream.transport_stream if isinstance(stream, trio.SSLStream) else stream


async def hang_up(stream: Stream, *, reset: bool) -> None:
    """Close TCP at once, with FIN or RST; TLS ends without its own goodbye."""
    tcp = transport(stream)
    if reset and tcp.socket.fileno() >= 0:
        tcp.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    await trio.aclose_forcefully(tcp)
