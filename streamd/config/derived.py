"""What follows from a valid configuration: where state lies, each share of the spool, topics, changes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from streamd.config import Config, ConnectorConfig, SpoolConfig
from streamd.model import CORE_STREAMS, Stream, TopicSpec
from streamd.registry import all_types

CLEANUP = "cleanup.policy"


def state_directory(config: Config) -> Path:
    """Give where spool, lock and control socket lie: the key, else what systemd made, else here."""
    # systemd gives a list with colons where the unit names several directories; the first is ours.
    given = config.spool.directory or os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(given or "streamd-state")


def connector_share(config: Config, name: str) -> int:
    """Give the bytes of the spool that are one connector's own: its key, else an equal part of the rest."""
    return shares(config.spool, config.connectors)[name]


def shares(spool: SpoolConfig, connectors: Mapping[str, ConnectorConfig]) -> dict[str, int]:
    """Give the share of every enabled connector, in bytes."""
    running = enabled(connectors)
    own = {name: each.spool_bytes for name, each in running.items() if each.spool_bytes is not None}
    rest = max(0, spool.max_bytes - sum(own.values()))
    others = len(running) - len(own)
    return {name: own[name] if name in own else rest // others for name in running}


def enabled(connectors: Mapping[str, ConnectorConfig]) -> dict[str, ConnectorConfig]:
    """Give the connectors that are to run."""
    return {name: each for name, each in connectors.items() if each.enabled}


def streams(connectors: Mapping[str, ConnectorConfig]) -> Iterator[Stream]:
    """Give the core's streams, then those of the connectors that are to run; one may come twice."""
    yield from CORE_STREAMS
    for each in enabled(connectors).values():
        yield from all_types()[each.type].streams(each)


def topic_specs(config: Config) -> dict[str, TopicSpec]:
    """Give the topics that this configuration needs, by whole name, with the operator's overrides."""
    specs = (_spec(config, stream) for stream in streams(config.connectors))
    return {spec.name: spec for spec in specs}


def _spec(config: Config, stream: Stream) -> TopicSpec:
    kafka, own = config.kafka, config.kafka.topics.get(stream.topic)
    # Said outright, for a broker's own default may be the other one.
    settings = {CLEANUP: stream.cleanup}
    if own is None:
        return TopicSpec(
            f"{kafka.topic_prefix}.{stream.topic}",
            kafka.partitions,
            kafka.replication_factor,
            stream.cleanup,
            settings,
        )
    return TopicSpec(
        f"{kafka.topic_prefix}.{stream.topic}",
        own.partitions if own.partitions is not None else kafka.partitions,
        own.replication_factor if own.replication_factor is not None else kafka.replication_factor,
        stream.cleanup,
        settings | own.config,
    )


def changed(old: Config, new: Config) -> set[str]:
    """Give the connectors that came, went, or whose table or secrets are not what they were."""
    names = old.connectors.keys() | new.connectors.keys()
    return {name for name in names if old.connectors.get(name) != new.connectors.get(name)}


def certificates(config: ConnectorConfig) -> str:
    """Give a digest of what the connector's certificate files hold: a renewed one keeps its path."""
    files = (config.ca_file, config.certificate_file, config.key_file)
    return "".join(_digest(file) for file in files if file is not None)


def _digest(file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError as error:  # gone since the configuration was read: whoever opens it says so
        return str(error.errno)


def changed_tables(old: Config, new: Config) -> set[str]:
    """Give the other tables that are not what they were: they need a restart."""
    tables = {"kafka", "spool", "ingress", "admin"}
    return {table for table in tables if getattr(old, table) != getattr(new, table)}
