"""The signals that the daemon obeys. Imports nothing that takes time: `hold` stands before all of that."""

from __future__ import annotations

import signal

OBEYED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def hold() -> None:
    """Let those that come wait, in every thread that is made from now on, until `release`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, OBEYED)


def release() -> None:
    """Let those that came come through, and those that come from now on."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OBEYED)
