"""Oracle Communications Interactive Session Recorder (ISR): recordings, by polling its FACE REST API."""

from __future__ import annotations

from collections.abc import Sequence

from streamd.connector import ConnectorType
from streamd.connectors.oracle_isr.config import OracleIsrConfig, check, warn
from streamd.connectors.oracle_isr.normalise import RECORDINGS, SCHEMAS, STREAM_OF
from streamd.connectors.oracle_isr.notifications import paths
from streamd.connectors.oracle_isr.source import open_sessions, probe
from streamd.model import Stream

__all__ = ["CONNECTOR"]


def _streams(config: OracleIsrConfig) -> Sequence[Stream]:
    return [RECORDINGS]


CONNECTOR = ConnectorType(
    name="oracle_isr",
    config=OracleIsrConfig,
    check=check,
    streams=_streams,
    schemas=SCHEMAS,
    open=open_sessions,
    probe=probe,
    stream_of=STREAM_OF,
    ingress_paths=paths,
    losses="refetched",
    warn=warn,
)
