"""TLS on top of a watched TCP stream, decrypted where what comes is worked off.

trio's SSLStream gives one record at a time, wakes its task for it, and asks OpenSSL once more in vain. The
`ssl` module does here what it does there; only the bytes are carried in another way.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable
from math import inf

import trio

from streamd.transport.faults import fault_words
from streamd.transport.rounds import MOST_BYTES, Lost
from streamd.transport.watched import Watched

_RECORD_BYTES = 16_384  # a record of TLS holds no more, and `ssl` gives no more at once


class Secured(trio.abc.Stream):
    """The client's side of TLS on `watch`.

    Servers and balancers end TLS by closing TCP, which is an end like any other, and we say no goodbye. What
    is wrong with it raises Lost, what `ssl` raised being its cause.
    """

    def __init__(self, watch: Watched, context: ssl.SSLContext, server_hostname: str) -> None:
        self._watch = watch
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._sealed = memoryview(b"")  # has come, and TLS has not had it yet
        self._unsealed: deque[bytes] = deque()  # is to be sent, and TLS has not taken it yet
        self._sending = trio.Lock()
        self._is_cut_short = False  # what is being sent, until all of it is
        self._is_closed = self._ended = False
        self._fault: ssl.SSLError | None = None  # behind what was read before it

    async def do_handshake(self) -> None:
        """Agree on keys, and verify the server; what is sent later by either side needs it."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._send()
            except ssl.SSLError as error:
                await self._send()  # the server is told why
                raise self._broken(error) from error
            else:
                await self._send()
                return
            data = await self._watch.receive_some()
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            data = self._decrypted(max_bytes or MOST_BYTES)
            if data:
                return data
            self._raise_fault()
            if self._ended:
                return b""
            if self._must_answer:
                await self._send()
            self._take_in(await self._watch.receive_some())

    async def pour(self, take: Callable[[bytes], bool]) -> None:
        """Have `take` called with what comes, as it is read, until it returns False; b"" at the end.

        As `Watched.pour` does, and with all records of a reading at once.
        """
        wants_more = True

        def hand_on() -> None:
            nonlocal wants_more
            data = self._decrypted(inf)
            if data:
                wants_more = take(data)
            if wants_more:
                self._raise_fault()
                if self._ended:
                    take(b"")
                    wants_more = False

        def work_off(data: bytes) -> bool:
            self._take_in(data)
            hand_on()
            return wants_more and not self._must_answer

        hand_on()
        while wants_more:
            if self._must_answer:
                await self._send()
            await self._watch.pour(work_off)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if data:  # nothing would be the end
            self._unsealed.append(bytes(data))
        self._seal()
        self._raise_fault()
        await self._send()

    async def wait_send_all_might_not_block(self) -> None:
        await self._watch.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        self._is_closed = True
        await self._watch.aclose()

    def _take_in(self, data: bytes) -> None:
        self._ended = self._ended or not data
        self._sealed = memoryview(data)

    def _decrypted(self, most: float) -> bytes:
        """Give what is here, `most` bytes of it."""
        if self._is_closed:
            raise trio.ClosedResourceError("this stream was closed")
        pieces: list[bytes] = []
        # After a fault `ssl` is asked no more: it would give another reason.
        while most > 0 and self._fault is None and self._has_sealed():
            try:
                piece = self._tls.read(int(min(most, _RECORD_BYTES)))
            except ssl.SSLWantReadError:  # the rest of a record is still to come
                continue
            except ssl.SSLError as error:
                self._fault = error
                break
            if not piece:  # the peer says goodbye; whatever it sends after that is nothing
                self._ended = True
                self._watch.fault = self._watch.fault or "end of stream"
                break
            pieces.append(piece)
            most -= len(piece)
        if self._unsealed:
            self._seal()
        return b"".join(pieces)

    def _has_sealed(self) -> bool:
        """Tell whether there is anything to decrypt, of which a record's worth is given to TLS at a time: the
        room that it has once needed it keeps for ever."""
        if self._sealed and not (self._incoming.pending or self._tls.pending()):
            self._incoming.write(self._sealed[:_RECORD_BYTES])
            self._sealed = self._sealed[_RECORD_BYTES:]
        return bool(self._incoming.pending or self._tls.pending())

    def _seal(self) -> None:
        """Encrypt what is to be sent; where the peer has asked for other keys, once they are agreed on.

        Who sends does not wait for that: it may be who reads, and only reading can bring it.
        """
        try:
            while self._unsealed:
                self._tls.write(self._unsealed[0])
                self._unsealed.popleft()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fault = self._fault or error

    @property
    def _must_answer(self) -> bool:
        """Tell whether TLS has something to say by itself: whoever is sending says that too.

        Who reads waits for none of them, for the peer may take nothing before it is rid of what it sends.
        """
        return bool(self._outgoing.pending) and not self._sending.locked() and not self._is_cut_short

    async def _send(self) -> None:
        """Send what TLS has to say, for us or by itself."""
        async with self._sending:
            if self._is_cut_short:
                raise Lost("what was sent last was cut short")
            while self._outgoing.pending:
                self._is_cut_short = True
                await self._watch.send_all(self._outgoing.read())
                self._is_cut_short = False

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._broken(self._fault) from self._fault

    def _broken(self, error: ssl.SSLError) -> Lost:
        self._watch.fault = self._watch.fault or fault_words(error)
        return Lost("TLS is broken")
