"""What one connector's requests may take up at once, so that it never takes what others need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from streamd.transport.exchange import Refusal


class Allowance:
    """Counts the requests in flight and the bytes of their bodies; one too many is refused (503)."""

    def __init__(self, requests: Callable[[], int], most_bytes: int) -> None:
        self._most_requests = requests
        self._most_bytes = most_bytes
        self.requests = 0
        self.bytes = 0

    @contextmanager
    def request(self) -> Iterator[Callable[[int], None]]:
        """Hold room for one request; what is yielded takes room for so many bytes of its body more."""
        if self.requests >= self._most_requests():
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE)
        held = 0

        def take(size: int) -> None:
            nonlocal held
            if self.bytes + size > self._most_bytes:
                raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE)
            self.bytes += size
            held += size

        self.requests += 1
        try:
            yield take
        finally:
            self.requests -= 1
            self.bytes -= held
