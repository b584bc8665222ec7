"""Avaya Experience Platform: realtime analytics over a websocket, one subscription for each producer."""

from __future__ import annotations

from collections.abc import Sequence

from streamd.connector import ConnectorType
from streamd.connectors.avaya.config import AvayaConfig, check
from streamd.connectors.avaya.normalise import (
    DELETED,
    MEASURES,
    MEASURES_STATE,
    STATE,
    UPSERTED,
    MeasureData,
    MeasureStateData,
    is_stateful,
)
from streamd.connectors.avaya.source import open_sessions, probe
from streamd.model import Stream

__all__ = ["CONNECTOR"]


def _streams(config: AvayaConfig) -> Sequence[Stream]:
    if any(map(is_stateful, config.measure_producers)):
        return [MEASURES, MEASURES_STATE]
    return [MEASURES]


CONNECTOR = ConnectorType(
    name="avaya",
    config=AvayaConfig,
    check=check,
    streams=_streams,
    schemas={UPSERTED: MeasureData, DELETED: MeasureData, STATE: MeasureStateData},
    open=open_sessions,
    probe=probe,
    stream_of={UPSERTED: MEASURES, DELETED: MEASURES, STATE: MEASURES_STATE},
)
