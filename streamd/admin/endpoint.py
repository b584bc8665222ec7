"""Serve the admin endpoint: bind, sample the rates, answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from streamd import control
from streamd.admin.rates import SAMPLE_SECONDS, Sampler
from streamd.admin.report import Totaller
from streamd.admin.routes import Routes
from streamd.config.derived import state_directory
from streamd.telemetry import logger
from streamd.transport.listening import address_of, open_tcp_listeners, open_unix_listener
from streamd.transport.server import Request, serve_http

if TYPE_CHECKING:
    from streamd.app import Daemon

_MOST_CONNECTIONS = 64
_MOST_BODY_BYTES = 4096  # nothing here takes one
_CONTROL_SECONDS = 60.0  # a restart waits for the connector's goodbye


async def serve_admin(
    daemon: Daemon, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled; started with the bound TCP addresses.

    For the holder of the state directory's lock, for a control socket that is there already is replaced.
    Raises Transient when an address cannot be had.
    """
    listeners = await open_tcp_listeners(daemon.config.admin.listen)
    sampler, totaller = Sampler(), Totaller(daemon)
    with control.address(state_directory(daemon.config)) as path:
        async with open_unix_listener(path) as private, trio.open_nursery() as nursery:
            routes = Routes(daemon, sampler, totaller, partial(_restart, daemon, nursery))
            serve = partial(
                serve_http,
                on_error=_log_bug,
                max_connections=_MOST_CONNECTIONS,
                max_body_bytes=_MOST_BODY_BYTES,
            )
            nursery.start_soon(_sample, sampler, totaller)
            await nursery.start(serve, routes.public, listeners)
            await nursery.start(partial(serve, request_timeout=_CONTROL_SECONDS), routes.private, [private])
            addresses = [address_of(listener) for listener in listeners]
            logger().info("admin_listening", addresses=addresses)
            task_status.started(addresses)


async def _sample(sampler: Sampler, totaller: Totaller) -> None:
    while True:
        sampler.sample(trio.current_time(), totaller.totals())
        await trio.sleep(SAMPLE_SECONDS)


async def _restart(daemon: Daemon, nursery: trio.Nursery, name: str) -> bool:
    """Restart a connector, to the end even if the caller leaves; tell whether there was one."""
    done = trio.Event()
    there = True

    async def restart() -> None:
        nonlocal there
        try:
            await daemon.fleet.restart(name)
        except KeyError:
            there = False  # a reload took it away meanwhile
        done.set()

    nursery.start_soon(restart)
    await done.wait()
    return there


def _log_bug(request: Request, error: Exception) -> None:
    logger().error("admin_request_crashed", request=repr(request), exc_info=error)
