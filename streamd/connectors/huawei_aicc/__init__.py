"""Huawei AICC CC-FS: call detail records and recording indexes, exported window by window."""

from __future__ import annotations

from collections.abc import Sequence

from streamd.connector import CONNECTOR_NAME, ConnectorType
from streamd.connectors.huawei_aicc.config import HuaweiConfig, callback_path, check
from streamd.connectors.huawei_aicc.normalise import SCHEMAS, STREAM_OF, STREAMS_OF_DATA
from streamd.connectors.huawei_aicc.source import open_sessions, probe
from streamd.model import Stream

__all__ = ["CONNECTOR"]


def _streams(config: HuaweiConfig) -> Sequence[Stream]:
    return STREAMS_OF_DATA[config.data_type]


def _ingress_paths(config: HuaweiConfig) -> Sequence[str]:
    return [callback_path(config, CONNECTOR_NAME)] if config.callback else []


CONNECTOR = ConnectorType(
    name="huawei_aicc",
    config=HuaweiConfig,
    check=check,
    streams=_streams,
    schemas=SCHEMAS,
    open=open_sessions,
    probe=probe,
    stream_of=STREAM_OF,
    ingress_paths=_ingress_paths,
    losses="refetched",
)
