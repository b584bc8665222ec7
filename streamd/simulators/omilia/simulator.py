"""Open a simulated Omilia platform."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import trio

from streamd.simulators.omilia import commands
from streamd.simulators.omilia.accounts import IamSession
from streamd.simulators.omilia.feed import Feed, let_subscriptions_vanish
from streamd.simulators.omilia.jobs import Job
from streamd.simulators.omilia.log import DeliveryEntry, RequestEntry, TokenEntry
from streamd.simulators.omilia.options import OmiliaOptions
from streamd.simulators.omilia.records import Fate, Identity, Record
from streamd.simulators.omilia.server import Handler, exports_handler, iam_handler
from streamd.simulators.omilia.service import Service
from streamd.simulators.omilia.subscriptions import Subscription
from streamd.simulators.omilia.vocabulary import END, START, STEP
from streamd.simulators.tables import free_port, ingress_table, table


class OmiliaSimulator:
    """A running simulator: what it did and what a test may do to it. Only `settle` waits."""

    def __init__(self, service: Service) -> None:
        self._service = service

    # Inspecting

    @property
    def options(self) -> OmiliaOptions:
        return self._service.options

    @property
    def exports_url(self) -> str:
        """Return the root of exports-api, without a path."""
        return self._service.exports_url

    @property
    def iam_url(self) -> str:
        """Return the root of IAM, without a path."""
        return self._service.iam_url

    @property
    def ingress_port(self) -> int:
        """Return where `ingress_table` lets the client listen."""
        return self._service.ingress_port

    @property
    def faults(self) -> tuple[str, ...]:
        """The switches that are on, as they were written."""
        return self._service.faults.written

    def now(self) -> datetime:
        """Return the platform's time."""
        return datetime.fromtimestamp(self._service.clock.now(), UTC)

    @property
    def records(self) -> Sequence[Record]:
        """Every record that was made, by number, with what became of it; empty without `log`."""
        return self._service.records.all

    def truth(self) -> dict[Identity, dict[str, Any]]:
        """Return every record that was made, by its identity."""
        return {each.identity: msgspec.json.decode(each.payload) for each in self.records}

    def fates(self) -> dict[Identity, Fate]:
        """Return what became of every record by streaming; `Record.exported` tells of exports."""
        return {each.identity: each.fate for each in self.records}

    @property
    def records_made(self) -> int:
        """Count the records that were made, kept or not."""
        return self._service.records.count

    @property
    def records_accepted(self) -> int:
        """Count the records in accepted deliveries, logged or not; one that came twice counts twice."""
        return self._service.log.accepted

    @property
    def deliveries(self) -> Sequence[DeliveryEntry]:
        """Every attempt to push, in order of its end; empty without `log`."""
        return self._service.log.deliveries

    @property
    def token_calls(self) -> Sequence[TokenEntry]:
        """The calls to the client's token endpoint (the last 100,000)."""
        return list(self._service.log.tokens)

    @property
    def requests(self) -> Sequence[RequestEntry]:
        """The HTTP requests to both ports, oldest first (the last 100,000)."""
        return list(self._service.log.requests)

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """Those that run, oldest first; those of others, too."""
        return list(self._service.subscriptions.running)

    @property
    def jobs(self) -> Sequence[Job]:
        return list(self._service.jobs.all)

    def job_status(self, job: Job) -> str:
        return job.status(self._service.clock.now(), self._service.faults)

    @property
    def sessions(self) -> Sequence[IamSession]:
        """The sessions at IAM that are not logged out."""
        return list(self._service.accounts.sessions.values())

    @property
    def sessions_opened(self) -> int:
        return self._service.accounts.opened

    @property
    def is_settled(self) -> bool:
        """Tell that nothing is on its way to the client and nothing has to come back."""
        return self._service.is_settled

    # Steering

    def set_faults(self, *faults: str) -> None:
        """Replace all switches; ConfigError names what is unknown."""
        self._service.set_faults(faults)

    def set_rate(self, rate: float) -> None:
        commands.set_rate(self._service, rate)

    def advance(self, seconds: float) -> None:
        """Put the platform's clock forward."""
        self._service.advance(seconds)

    async def settle(self) -> None:
        """Wait until `is_settled`; with no rate, that is when all that can be delivered was."""
        await commands.settle(self._service)

    def vanish(self, data_type: str) -> bool:
        return commands.vanish(self._service, data_type)

    def add_foreign(self, data_type: str, *, hidden: bool = False) -> None:
        commands.add_foreign(self._service, data_type, hidden)

    def add_foreign_job(self, seconds: float = 60.0) -> None:
        commands.add_foreign_job(self._service, seconds)

    def expire_jobs(self) -> None:
        commands.expire_jobs(self._service)

    def expire_tokens(self) -> None:
        """Let every access token of IAM end now."""
        self._service.accounts.expire_access()

    # Acting

    def call(self, children: int | None = None, end_type: str = "") -> list[Record]:
        return commands.call(self._service, children, end_type)

    def audit(self) -> Record:
        return commands.audit(self._service)

    def voices(self) -> list[Record]:
        return commands.voices(self._service)

    def history(self, hours: float, calls: int) -> list[Record]:
        return commands.history(self._service, hours, calls)

    def send(self, message: Mapping[str, Any]) -> Record:
        return commands.send(self._service, message)

    # Configuring

    def connector_table(
        self, name: str = "omilia-sim", data_types: Sequence[str] = (START, STEP, END), **more: str
    ) -> str:
        """Return the TOML table that points streamd at this simulator; `more` are keys and TOML values.

        It needs the `ingress_table`, once in a file.
        """
        options = self.options
        quoted = ", ".join(f'"{each}"' for each in data_types)
        keys: Mapping[str, str] = {
            "type": '"omilia"',
            "exports_url": f'"{self.exports_url}"',
            "iam_url": f'"{self.iam_url}"',
            "realm": f'"{options.realm}"',
            "group": f'"{options.group}"',
            "username": f'"{options.username}"',
            "password": f'"{options.password}"',
            "data_types": f"[{quoted}]",
            "auth_id": f'"{options.auth_id}"',
            "auth_secret": f'"{options.auth_secret}"',
            **more,
        }
        return table(f"connectors.{name}", keys)

    def ingress_table(self, **more: str) -> str:
        """Return the TOML table that lets streamd listen where pushes are meant to go; `more` as above."""
        return ingress_table(f"{self.options.host}:{self.ingress_port}", **more)


@asynccontextmanager
async def open_omilia_simulator(options: OmiliaOptions | None = None) -> AsyncIterator[OmiliaSimulator]:
    """Listen on both ports until the block is left, which cuts everything short.

    Raises ConfigError for unknown faults, OSError when a port is taken.
    """
    options = options or OmiliaOptions()
    service = Service(options)
    service.ingress_port = options.ingress_port or free_port(options.host)
    async with trio.open_nursery() as nursery:
        service.nursery = nursery
        service.exports_url = await _listen(nursery, options, options.port, exports_handler(service))
        service.iam_url = await _listen(nursery, options, options.iam_port, iam_handler(service))
        nursery.start_soon(Feed(service).run)
        nursery.start_soon(let_subscriptions_vanish, service)
        yield OmiliaSimulator(service)
        nursery.cancel_scope.cancel()


async def _listen(nursery: trio.Nursery, options: OmiliaOptions, port: int, handler: Handler) -> str:
    """Begin to serve on `port`; return the URL of its root."""
    serve = partial(trio.serve_tcp, handler, port, host=options.host)
    listeners: list[trio.SocketListener] = await nursery.start(serve)
    port = listeners[0].socket.getsockname()[1]
    scheme = "https" if options.ssl_context is not None else "http"
    return f"{scheme}://{options.public_host or options.host}:{port}"
