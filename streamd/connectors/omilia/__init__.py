"""Omilia OCP: records of dialogs, pushed as they happen, exported where pushes were missed."""

from __future__ import annotations

from collections.abc import Sequence

from streamd.connector import ConnectorType
from streamd.connectors.omilia.account import probe
from streamd.connectors.omilia.config import OmiliaConfig, check, warn
from streamd.connectors.omilia.delivery import ingress_paths
from streamd.connectors.omilia.normalise import SCHEMAS, STREAM_OF
from streamd.connectors.omilia.source import open_sessions
from streamd.model import Stream

__all__ = ["CONNECTOR"]


def _streams(config: OmiliaConfig) -> Sequence[Stream]:
    return list(dict.fromkeys(STREAM_OF.values()))


CONNECTOR = ConnectorType(
    name="omilia",
    config=OmiliaConfig,
    check=check,
    streams=_streams,
    schemas=SCHEMAS,
    open=open_sessions,
    probe=probe,
    stream_of=STREAM_OF,
    ingress_paths=ingress_paths,
    losses="pending",
    warn=warn,
)
