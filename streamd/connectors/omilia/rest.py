"""Call exports-api for one group: with a token, at the group's pace, every answer judged.

Sources: vendors/omilia.md sections 1 (errors), 2 and 4 (calls), 6 (rate limit); seed 000. All calls of a
group share one bucket, so all of them go through the pace that this is made with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from streamd.connector import Clock, Counters
from streamd.connectors.omilia.answers import (
    Gone,
    Job,
    Made,
    Metadata,
    Page,
    Subscription,
    judged,
    read,
    text_of,
)
from streamd.connectors.omilia.iam import Credentials
from streamd.connectors.omilia.pace import Pace
from streamd.connectors.omilia.reconcile import Listed
from streamd.errors import ProtocolViolation, RateLimited, StreamdError, Transient
from streamd.pull.server_clock import ServerClock
from streamd.redaction import redacted
from streamd.transport.download import Downloaded, download, is_zip
from streamd.transport.http import Http, RequestParts, Response, retry_after_seconds

MOST_SAID = 200  # characters of an error's text
LIST_PAGE_SIZE = 100
"""The largest page of a list (section 2): the fewer calls, the better."""
MOST_ZIP_BYTES = 4 << 30
_MOST_PAGES = 1000
T = TypeVar("T")
A = TypeVar("A", bound=Response | Downloaded)


class Priority(IntEnum):
    """Whose call goes first (section 6)."""

    SUBSCRIPTIONS = 0
    JOBS = 1
    DOWNLOADS = 2


class Exports:
    """The calls. Each raises Transient or RateLimited (later), Unaccepted, Gone or another Rejected."""

    def __init__(
        self,
        http: Http,
        credentials: Credentials,
        clock: Clock,
        counters: Counters,
        *,
        group: str,
        pace: Pace,
    ) -> None:
        """Use `http`, a client for the root of exports-api."""
        self._http = http
        self._credentials = credentials
        self._clock = clock
        self._counters = counters
        self._root = f"/exports-api/v1/groups/{quote(group, safe='')}"
        self._pace = pace
        self.server = ServerClock(clock)
        """The platform's time, as its answers tell it."""

    def forgive(self) -> None:
        """Let refused credentials be tried again: their wait is over, or an operator asked for it."""
        self._credentials.forgive()

    # -- subscriptions

    async def subscriptions(self) -> list[Listed]:
        """List the active subscriptions that this user created."""
        found = await self._listed("subscriptions", Subscription, Priority.SUBSCRIPTIONS)
        return [
            Listed(
                each.subscription_id, each.data_type, each.schema_name, each.delivery.type, each.delivery.path
            )
            for each in found
        ]

    async def subscribe(self, body: Mapping[str, Any]) -> str:
        """Create a subscription and give its id. When this raises Transient, it may exist all the same."""
        answer = await self._call(
            "create", "POST", "subscriptions", json=body, priority=Priority.SUBSCRIPTIONS
        )
        return read(answer, Made, "the answer to a new subscription").export_id

    async def unsubscribe(self, subscription_id: str) -> None:
        """Delete a subscription; gone already counts as done."""
        path = f"subscriptions/{quote(subscription_id, safe='')}"
        try:
            await self._call("delete", "DELETE", path, priority=Priority.SUBSCRIPTIONS)
        except Gone:
            return

    # -- batch exports

    async def submit(self, name: str, begin: datetime, end: datetime, types: Sequence[str]) -> str:
        """Create an export and give its id. When this raises Transient, it may exist all the same."""
        body = {"export_name": name, "from_date": _spelt(begin), "to_date": _spelt(end), "types": types}
        answer = await self._call("export", "POST", "jobs", json=body)
        return read(answer, Made, "the answer to a new export").export_id

    async def jobs(self, until: str = "") -> list[Job]:
        """List the group's exports, all of them, or to the page that has the one with the id `until`."""
        return await self._listed("jobs", Job, Priority.JOBS, lambda job: job.export_id == until)

    async def metadata(self, export_id: str) -> Metadata:
        """Say what a READY export holds."""
        answer = await self._call("metadata", "GET", f"jobs/{quote(export_id, safe='')}")
        return read(answer, Metadata, "the export's metadata")

    async def fetch_zip(self, export_id: str, page: int, page_size: int, to: Path) -> Downloaded:
        """Put one page of a READY export into file `to`, five a minute at most (section 4)."""
        path = f"jobs/{quote(export_id, safe='')}/data/compressed"
        parameters = {"page_number": str(page), "page_size": str(page_size)}

        async def send(url: str, headers: Mapping[str, str]) -> Downloaded | Response:
            return await download(
                self._http,
                "GET",
                url,
                to,
                wanted=is_zip,
                max_bytes=MOST_ZIP_BYTES,
                params=parameters,
                headers=headers,
            )

        async with self._pace.zips.turn():
            answer = await self._send("data", path, send, Priority.DOWNLOADS)
        if isinstance(answer, Response):
            raise Transient("data: the answer is no zip")
        return answer

    # -- inside

    async def _listed(
        self,
        path: str,
        item: type[T],
        priority: Priority,
        enough: Callable[[T], bool] = lambda item: False,
    ) -> list[T]:
        """Give the items of a list, to its last page; the platform may make pages smaller than asked for."""
        found: list[T] = []
        for number in range(1, _MOST_PAGES + 1):
            asked = {"page_number": str(number), "page_size": str(LIST_PAGE_SIZE)}
            page = read(
                await self._call("list", "GET", path, asked, priority=priority), Page, f"list of {path}"
            )
            items = [read(bytes(each), item, f"the list of {path}") for each in page.exports]
            found += items
            if number >= page.pagination.pages or not items or any(map(enough, items)):
                return found
        raise ProtocolViolation(f"the list of {path} has more than {_MOST_PAGES} pages")

    async def _call(
        self,
        what: str,
        method: str,
        path: str,
        parameters: Mapping[str, str] | None = None,
        *,
        json: object = None,
        priority: Priority = Priority.JOBS,
    ) -> bytes:
        """Make one call and give its body."""

        async def send(url: str, headers: Mapping[str, str]) -> Response:
            parts: RequestParts = {"params": parameters or {}, "headers": headers}
            if json is not None:
                parts["json"] = json
            return await self._http.request(method, url, **parts)

        return (await self._send(what, path, send, priority)).body

    async def _send(
        self, what: str, path: str, send: Callable[[str, Mapping[str, str]], Awaitable[A]], priority: Priority
    ) -> A:
        """Send one request, and once more with another token where that one is refused; judge the answer."""
        for last in (False, True):
            token = await self._credentials.get()
            async with self._pace.calls.turn(priority):
                asked_at = self._clock.monotonic()
                answer = await send(
                    f"{self._root}/{path}", {"Authorization": f"{self._credentials.scheme} {token}"}
                )
            self.server.heard(answer.headers, asked_at)
            if answer.status != 401 or last or not self._credentials.refused(token):
                break
        if 200 <= answer.status < 300:
            self._pace.calls.accepted(priority)
            return answer
        raise self._error(what, answer, priority)

    def _error(self, what: str, answer: Response | Downloaded, priority: Priority) -> StreamdError:
        self._counters.count("rest_errors")
        said = text_of(answer.body) if isinstance(answer, Response) else ""
        reason = f"{what}: {answer.status} {redacted(said)[:MOST_SAID]}".rstrip()
        retry_after = retry_after_seconds(answer.headers, self._clock.now())
        if answer.status == 429:
            return RateLimited(reason, retry_after=self._pace.calls.slow_down(priority, retry_after))
        return judged(answer.status, reason, retry_after)


def _spelt(at: datetime) -> str:
    """Spell a whole hour as the document's samples do."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
