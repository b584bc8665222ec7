"""A nursery for the tasks that serve one resource: it ends with its body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def open_background() -> AsyncIterator[trio.Nursery]:
    """Open a nursery that is cancelled when its body ends; a lone exception comes out as it was raised.

    Without this every LinkClosed of a body would reach its handler wrapped in an ExceptionGroup.
    Two exceptions at once (body and task) stay a group.
    """
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        error = sole(group)
        raise error from error.__cause__


def sole(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one exception inside `group`, however deep; the group itself when there are several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return group if isinstance(error, BaseExceptionGroup) else error
