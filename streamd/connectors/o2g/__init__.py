"""Alcatel-Lucent OmniPCX Open Gateway (O2G): events of an OXE over an endless HTTP channel."""

from __future__ import annotations

from collections.abc import Sequence

from streamd.connector import ConnectorType
from streamd.connectors.o2g.config import O2gConfig, check, packages
from streamd.connectors.o2g.normalise import SCHEMAS, STREAM_OF, streams
from streamd.connectors.o2g.source import open_sessions, probe
from streamd.model import Stream

__all__ = ["CONNECTOR"]


def _streams(config: O2gConfig) -> Sequence[Stream]:
    return streams(packages(config))


CONNECTOR = ConnectorType(
    name="o2g",
    config=O2gConfig,
    check=check,
    streams=_streams,
    schemas=SCHEMAS,
    open=open_sessions,
    probe=probe,
    stream_of=STREAM_OF,
)
