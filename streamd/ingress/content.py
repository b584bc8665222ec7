"""Read a request's body, inflated, with a bound on what it becomes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Protocol

import trio

from streamd.transport.exchange import Body, Refusal, Request

_STEP_BYTES = 128 * 1024  # inflated in some 0.3 ms, then other tasks have their turn


async def read_content(head: Request, body: Body, most: int, take: Callable[[int], None]) -> bytes:
    """Give the body as it was before Content-Encoding: gzip or deflate.

    Raises Refusal: 413 beyond `most` bytes, 415 for another encoding, 400 for what does not inflate; and
    what `take` raises, which is called with the size of each piece before that is kept.
    """
    decoder = _decoder(head.headers.get("content-encoding", ""))
    content = bytearray()
    while data := await body.receive():
        for piece in decoder.feed(data):
            if len(content) + len(piece) > most:
                raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            take(len(piece))
            content += piece
            if len(piece) == _STEP_BYTES:
                await trio.lowlevel.checkpoint()
    if not decoder.complete:
        raise Refusal(HTTPStatus.BAD_REQUEST)
    return bytes(content)


class _Decoder(Protocol):
    @property
    def complete(self) -> bool: ...
    def feed(self, data: bytes) -> Iterator[bytes]: ...


def _decoder(encoding: str) -> _Decoder:
    match encoding.strip().lower():
        case "" | "identity":
            return _Identity()
        case "gzip" | "x-gzip":
            return _Inflater(zlib.MAX_WBITS | 16)
        case "deflate":
            return _Inflater(None)
    raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


class _Identity:
    complete = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data


class _Inflater:
    """Inflates one stream, in pieces of _STEP_BYTES at most. What follows its end is a mistake (400).

    `window`: zlib's wbits; None for "deflate", where half of the senders leave out the zlib header that
    RFC 9110, section 8.4.1.2, asks for: its first byte tells.
    """

    def __init__(self, window: int | None) -> None:
        self._window = window
        self._zlib: zlib._Decompress | None = None

    @property
    def complete(self) -> bool:
        """Tell whether the stream has come to its end; an empty body has none."""
        return self._zlib is None or self._zlib.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give what `data` inflates to. Raises Refusal."""
        if self._zlib is None:
            self._zlib = zlib.decompressobj(self._window if self._window is not None else _window(data[0]))
        piece = b""
        # After a piece of full size zlib may hold more, with all of `data` read.
        while data or len(piece) == _STEP_BYTES:
            if self._zlib.eof:
                if data:
                    raise Refusal(HTTPStatus.BAD_REQUEST)
                return
            piece = self._inflate(self._zlib, data)
            yield piece
            data = self._zlib.unconsumed_tail or self._zlib.unused_data

    def _inflate(self, stream: zlib._Decompress, data: bytes) -> bytes:
        try:
            return stream.decompress(data, _STEP_BYTES)
        except zlib.error as error:
            raise Refusal(HTTPStatus.BAD_REQUEST) from error


def _window(first: int) -> int:
    """Give wbits for a stream that begins with this byte: 8 in its low half is zlib's (RFC 1950)."""
    return zlib.MAX_WBITS if first & 0x0F == 8 else -zlib.MAX_WBITS
