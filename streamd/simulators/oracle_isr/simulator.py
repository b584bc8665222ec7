"""Open a simulated Interactive Session Recorder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import trio

from streamd.simulators.oracle_isr import commands
from streamd.simulators.oracle_isr.log import LoginEntry, NotificationEntry, ReplyEntry
from streamd.simulators.oracle_isr.notifier import EVENTS
from streamd.simulators.oracle_isr.options import OracleIsrOptions
from streamd.simulators.oracle_isr.recordings import Fate, Recording
from streamd.simulators.oracle_isr.server import face_handler
from streamd.simulators.oracle_isr.service import Service
from streamd.simulators.tables import free_port, ingress_table, table


class OracleIsrSimulator:
    """A running simulator: what it did and what a test may do to it. Only `settle` waits.

    What is done to a recording raises ValueError where its state does not allow it.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    # Inspecting

    @property
    def options(self) -> OracleIsrOptions:
        return self._service.options

    @property
    def base_url(self) -> str:
        """Return the root of the server, without the path of FACE."""
        return self._service.base_url

    @property
    def ingress_port(self) -> int:
        """Return where `ingress_table` lets the client listen."""
        return self._service.ingress_port

    @property
    def faults(self) -> tuple[str, ...]:
        """The switches that are on, as they were written."""
        return self._service.faults.written

    def now(self) -> datetime:
        """Return the recorder's time."""
        return datetime.fromtimestamp(self._service.clock.now(), UTC)

    @property
    def recordings(self) -> Sequence[Recording]:
        """Every recording that was begun, by number, with its life and what was told about it."""
        return self._service.recordings.all

    def truth(self) -> dict[int, Recording]:
        """Return, by id, what could be found under it once and is not hidden, deleted or not."""
        found = (each for each in self.recordings if each.recording_id and not each.hidden)
        return {each.recording_id: each for each in found}

    def of_fate(self, fate: Fate) -> list[Recording]:
        return [each for each in self.recordings if each.fate is fate]

    @property
    def replies(self) -> Sequence[ReplyEntry]:
        """Every request with what its answer gave, in order; empty without `log`."""
        return self._service.log.replies

    @property
    def logins(self) -> Sequence[LoginEntry]:
        return self._service.log.logins

    @property
    def notifications(self) -> Sequence[NotificationEntry]:
        """Every attempt to notify, in order of its end; empty without `log`."""
        return self._service.log.notifications

    @property
    def tokens_valid(self) -> int:
        """Count the tokens that are good now."""
        return self._service.accounts.valid

    @property
    def most_parallel(self) -> int:
        """Return how many requests were under way at a time, at most."""
        return self._service.log.most_parallel

    @property
    def refused_parallel(self) -> int:
        """Count the requests that were refused because there were too many at a time."""
        return self._service.log.refused_parallel

    @property
    def is_settled(self) -> bool:
        """Tell that every life that was drawn is over and every notification sent."""
        return self._service.is_settled

    # Steering

    def set_faults(self, *faults: str) -> None:
        """Replace all switches; ConfigError names what is unknown."""
        self._service.set_faults(faults)

    def set_rate(self, rate: float) -> None:
        commands.set_rate(self._service, rate)

    def advance(self, seconds: float) -> None:
        """Put the recorder's clock forward; what falls into that time has happened then."""
        self._service.advance(seconds)

    async def settle(self) -> None:
        """Wait until `is_settled`: for ever while calls begin without end."""
        await self._service.settle()

    def expire_tokens(self) -> None:
        self._service.accounts.expire()

    def unlock(self) -> None:
        """Let the user try again."""
        self._service.accounts.wrong = 0

    def change_password(self, password: str) -> None:
        self._service.accounts.password = password

    def reset_next(self, requests: int) -> None:
        """Answer so many requests with RST."""
        self._service.to_reset = requests

    def reply_with(
        self,
        body: bytes,
        *,
        status: int = 200,
        content_type: str = "application/json",
        times: int = 1,
        operation: str = "details",
    ) -> None:
        """Put these bytes in the place of the next answers to `operation` (`faults.OPERATIONS`)."""
        commands.reply_with(self._service, body, status, content_type, times, operation)

    def notify_to(self, url: str) -> None:
        """Send notifications there from now on; empty: nowhere."""
        self._service.notifier.url = url

    # Acting

    def start(self, *, beside: Recording | None = None, **caller: Any) -> Recording:
        """Begin to record now; `caller` are fields of `Caller`, `beside` the call's other recording."""
        return commands.start(self._service, beside, **caller)

    def pause(self, recording: Recording) -> Recording:
        return commands.act(self._service, "pause", recording)

    def resume(self, recording: Recording) -> Recording:
        return commands.act(self._service, "resume", recording)

    def split(self, recording: Recording) -> Recording:
        return commands.act(self._service, "split", recording)

    def end(self, recording: Recording, gap: float | None = None) -> Recording:
        """End it; it can be found after `gap` seconds of the recorder (None: the option, inf: never)."""
        return commands.act(self._service, "end", recording, gap=gap)

    def finish(self, recording: Recording) -> Recording:
        """Let one that has ended be found now."""
        return commands.act(self._service, "finish", recording)

    def archive(self, recording: Recording) -> Recording:
        return commands.act(self._service, "archive", recording)

    def change(
        self, recording: Recording, custom: Mapping[str, str], agent_id: str | None = None
    ) -> Recording:
        return commands.act(self._service, "change", recording, custom=custom, agent_id=agent_id)

    def delete(self, recording: Recording) -> Recording:
        """Mark it as deleted; it goes after `delete_seconds`."""
        return commands.act(self._service, "delete", recording)

    def remove(self, recording: Recording) -> Recording:
        """Let it be gone at once."""
        return commands.act(self._service, "remove", recording)

    def recorded(self, seconds: float = 30.0, ended_ago: float = 0.0, **caller: Any) -> Recording:
        """Let one be found now that ended in the past; nobody is notified."""
        return commands.recorded(self._service, seconds, ended_ago, **caller)

    def history(self, hours: float, calls: int) -> list[Recording]:
        """Let `calls` recordings have ended, evenly over the last `hours`."""
        return commands.history(self._service, hours, calls)

    def call(self) -> Recording:
        """Let somebody call now, with a life that is drawn."""
        return commands.call(self._service)

    def notify(self, event: str = EVENTS[0], ucid: str = "x-isr-ucid-forged@198.51.100.1") -> None:
        """Notify of what is no recording."""
        commands.notify(self._service, event, ucid)

    def notify_about(self, recording: Recording, event: str) -> None:
        """Notify of a recording out of turn."""
        commands.notify_about(self._service, recording, event)

    # Configuring

    def connector_table(self, name: str = "isr-sim", *, push: bool = True, **more: str) -> str:
        """Return the TOML table that points streamd at this simulator; `more` are keys and TOML values.

        With `push` it needs the `ingress_table`, once in a file.
        """
        keys = {
            "type": '"oracle_isr"',
            "base_url": f'"{self.base_url}"',
            "user_email": f'"{self.options.user_email}"',
            "password": f'"{self.options.password}"',
        }
        if push:
            keys["notification_path_secret"] = f'"{self.options.path_secret}"'
        return table(f"connectors.{name}", {**keys, **more})

    def ingress_table(self, **more: str) -> str:
        """Return the TOML table that lets streamd listen where notifications are meant to go."""
        return ingress_table(self._ingress, **more)

    def ingress_url(self, name: str = "isr-sim") -> str:
        """Return where a connector of that name takes notifications: for `notify_to`."""
        return f"http://{self._ingress}/oracle_isr/{name}/{self.options.path_secret}"

    @property
    def _ingress(self) -> str:
        return f"{self.options.host}:{self.ingress_port}"


@asynccontextmanager
async def open_oracle_isr_simulator(
    options: OracleIsrOptions | None = None,
) -> AsyncIterator[OracleIsrSimulator]:
    """Listen until the block is left, which cuts everything short.

    Raises ConfigError for unknown faults, OSError when the port is taken.
    """
    options = options or OracleIsrOptions()
    service = Service(options)
    service.ingress_port = options.ingress_port or free_port(options.host)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, face_handler(service), options.port, host=options.host)
        listeners: list[trio.SocketListener] = await nursery.start(serve)
        scheme = "https" if options.ssl_context is not None else "http"
        service.base_url = f"{scheme}://{options.host}:{listeners[0].socket.getsockname()[1]}"
        commands.set_rate(service, options.rate)
        nursery.start_soon(service.schedule.run)
        nursery.start_soon(service.notifier.run)
        nursery.start_soon(service.repeat, "notify-forged", partial(commands.notify, service))
        nursery.start_soon(service.repeat, "tokens-expire-every", service.accounts.expire)
        yield OracleIsrSimulator(service)
        nursery.cancel_scope.cancel()
