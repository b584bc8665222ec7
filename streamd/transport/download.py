"""A response body into a file: bounded, whole and on disk, or not there at all."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Unpack

import trio
from msgspec import Struct

from streamd.errors import ProtocolViolation, Transient
from streamd.transport.faults import fault_words
from streamd.transport.http import Http, HttpStream, RequestParts, Response

_BEGINNING_BYTES = 4
_WRITE_BYTES = 1 << 20  # for each hop to a thread


class Downloaded(Struct, frozen=True):
    """A body that is whole in the file `path`, fsynced. `sha256`: in hex."""

    status: int
    headers: Mapping[str, str]
    path: Path
    bytes: int
    sha256: str


def is_zip(status: int, beginning: bytes) -> bool:
    """Tell whether a body is a zip, whatever its content-type says; for `wanted`."""
    return status == HTTPStatus.OK and beginning.startswith(b"PK")


async def download(
    http: Http,
    method: str,
    url: str,
    to: Path,
    *,
    wanted: Callable[[int, bytes], bool],
    max_bytes: int,
    idle_seconds: float = 30.0,
    timeout: float | None = None,  # noqa: ASYNC109 -- mapped to Transient in `Http.stream`
    max_answer_bytes: int = 1 << 20,
    **parts: Unpack[RequestParts],
) -> Downloaded | Response:
    """Send one request, and write the body of its answer to the file `to` where it is wanted.

    `wanted(status, beginning)` is asked with the first bytes: 4 at least, fewer where the body is shorter. A
    body that is not wanted is read like any answer, into a Response. `timeout` bounds the wait for the head,
    `idle_seconds` that for each piece of the body. Raises Transient for the network, a deadline, a body
    cut short and a disk that does not take it, ProtocolViolation for one that is longer than `max_bytes`, or
    than `max_answer_bytes`. Cancelled or failed it leaves no file; one that was there before stays.
    """
    async with http.stream(method, url, timeout=timeout, **parts) as stream:
        body = _Body(stream, idle_seconds)
        beginning = await body.beginning()
        if wanted(stream.status, beginning):
            body.most = max_bytes
            return await _save(stream, body, to)
        body.most = max_answer_bytes
        return Response(stream.status, stream.headers, b"".join([piece async for piece in body]))


async def _save(stream: HttpStream, body: _Body, to: Path) -> Downloaded:
    async with _open(to) as file:
        waiting: list[bytes] = []
        size = 0
        async for piece in body:
            waiting.append(piece)
            size += len(piece)
            if size >= _WRITE_BYTES:
                await trio.to_thread.run_sync(file.write, waiting)
                waiting, size = [], 0
        await trio.to_thread.run_sync(file.write, waiting)
        await trio.to_thread.run_sync(file.finish)
    return Downloaded(stream.status, stream.headers, to, file.bytes, file.hash.hexdigest())


class _Body:
    """The pieces of a body, the beginning first; no piece comes later than the idle deadline."""

    def __init__(self, stream: HttpStream, idle_seconds: float) -> None:
        self.most = 0
        self._stream = stream
        self._idle_seconds = idle_seconds
        self._beginning = b""
        self._bytes = 0

    async def beginning(self) -> bytes:
        """Read the first bytes, and keep them to be read again."""
        while len(self._beginning) < _BEGINNING_BYTES:
            piece = await self._receive()
            if not piece:
                break
            self._beginning += piece
        return self._beginning

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        piece, self._beginning = self._beginning, b""
        piece = piece or await self._receive()
        if not piece:
            raise StopAsyncIteration
        self._bytes += len(piece)
        if self._bytes > self.most:
            raise ProtocolViolation(f"the body of an answer is longer than {self.most} bytes")
        return piece

    async def _receive(self) -> bytes:
        try:
            with trio.fail_after(self._idle_seconds):
                return await self._stream.receive()
        except trio.TooSlowError as error:
            raise Transient(f"no more of the body came within {self._idle_seconds:g} s") from error


@asynccontextmanager
async def _open(to: Path) -> AsyncIterator[_File]:
    file = _File(to)
    try:
        await trio.to_thread.run_sync(file.open)
        yield file
    finally:
        file.discard()


class _File:
    """A file that gets its name when it is whole. Blocks."""

    def __init__(self, to: Path) -> None:
        self.bytes = 0
        self.hash = sha256()
        self._to = to
        self._part = to.with_name(f"{to.name}.part")
        self._descriptor = -1

    def open(self) -> None:
        with _writing():
            self._descriptor = os.open(
                self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
            )

    def write(self, pieces: list[bytes]) -> None:
        data = b"".join(pieces)
        self.hash.update(data)
        self.bytes += len(data)
        with _writing():
            while data:
                data = data[os.write(self._descriptor, data) :]

    def finish(self) -> None:
        with _writing():
            os.fsync(self._descriptor)
            self._part.replace(self._to)
            directory = os.open(self._to.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def discard(self) -> None:
        """Close it, and remove what is not whole."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._part.unlink(missing_ok=True)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Transient(f"cannot write a download: {fault_words(error)}") from error
