"""Load the configuration: read the files, convert the tables, check what takes more than one key."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from streamd.config import (
    AdminConfig,
    Config,
    ConnectorConfig,
    IngressConfig,
    KafkaConfig,
    SpoolConfig,
    crosschecks,
    tomlfiles,
    tomlpath,
)
from streamd.config.allowed import shown, unknown
from streamd.config.convert import TABLES, Conversion
from streamd.config.derived import (
    changed,
    changed_tables,
    connector_share,
    enabled,
    state_directory,
    topic_specs,
)
from streamd.config.tomlfiles import default_path
from streamd.connector import ConnectorType
from streamd.errors import ConfigError, Problem
from streamd.redaction import redact
from streamd.registry import all_types

__all__ = [
    "Loaded",
    "changed",
    "changed_tables",
    "connector_share",
    "default_path",
    "load",
    "state_directory",
    "topic_specs",
]

_NAME = re.compile(r"[a-z0-9-]{1,40}")


class Loaded(Struct, frozen=True):
    """A valid configuration, and what is legal in it but should not stay."""

    config: Config
    warnings: list[Problem]


def load(path: Path | None = None, *, needed: Collection[str] = TABLES) -> Loaded:
    """Read the file or directory at `path`, by default `$STREAMD_CONFIG`, then /etc/streamd/streamd.toml.

    Every secret that it resolves is from then on kept out of the logs. Secrets of tables that are not
    `needed` may be out of reach, as those of the daemon's unit are for an operator's shell; they are empty
    then. Raises ConfigError with every mistake there is, each at its TOML path; a file that cannot be read or
    is not TOML stands by its name.
    """
    tables, problems = tomlfiles.read(path if path is not None else default_path())
    conversion = Conversion(needed)
    conversion.problems += problems
    try:
        config = _converted(tables, conversion)
    finally:
        for secret in conversion.secrets:
            redact(secret.reveal())
    if conversion.problems or config is None:
        raise ConfigError(conversion.problems)
    return Loaded(config, conversion.warnings)


def _converted(tables: Mapping[str, Any], found: Conversion) -> Config | None:
    known = [field.encode_name for field in fields(Config)]
    found.problems += [Problem(name, unknown("table", name, known)) for name in tables if name not in known]
    kafka = _kafka(tables, found)
    spool = found.struct(tables.get("spool", {}), SpoolConfig, "spool")
    admin = found.struct(tables.get("admin", {}), AdminConfig, "admin")
    ingress = None
    if "ingress" in tables:
        ingress = found.struct(tables["ingress"], IngressConfig, "ingress")
    connectors = _connectors(tables.get("connectors", {}), found)
    if admin is not None:
        found.add(list(crosschecks.check_admin(admin)))
    if ingress is not None:
        found.add(list(crosschecks.check_ingress(ingress)))
    if (
        admin is not None
        and ingress is not None
        and not (found.is_wrong("admin") or found.is_wrong("ingress"))
    ):
        found.add(list(crosschecks.check_listeners(admin, ingress)))
    if spool is not None:
        found.add(list(crosschecks.check_spool(spool, connectors)))
    if ingress is not None or "ingress" not in tables:
        sound = [name for name in connectors if not found.is_wrong(tomlpath.key("connectors", name))]
        found.add(list(crosschecks.check_ingress_paths(ingress, connectors, sound)))
    if kafka is not None:
        found.add(list(crosschecks.check_topics(kafka, connectors)))
    if found.problems or kafka is None or spool is None or admin is None:
        return None
    config = Config(kafka=kafka, spool=spool, ingress=ingress, admin=admin, connectors=connectors)
    found.warnings += _warnings(config)
    return config


def _kafka(tables: Mapping[str, Any], found: Conversion) -> KafkaConfig | None:
    if "kafka" not in tables:
        found.problems.append(Problem("kafka", "is missing: a table with bootstrap_servers"))
        return None
    kafka = found.struct(tables["kafka"], KafkaConfig, "kafka")
    if kafka is not None:
        found.add(list(crosschecks.check_kafka(kafka)))
    return kafka


def _connectors(tables: object, found: Conversion) -> dict[str, ConnectorConfig]:
    """Convert the connectors' tables; one whose vendor is not known is left out."""
    if not isinstance(tables, dict):
        found.problems.append(Problem("connectors", f"must be a table, not {shown(tables)}"))
        return {}
    converted = {name: _connector(name, table, found) for name, table in tables.items()}
    return {name: config for name, config in converted.items() if config is not None}


def _connector(name: str, table: object, found: Conversion) -> ConnectorConfig | None:
    path = tomlpath.key("connectors", name)
    if not _NAME.fullmatch(name):
        found.problems.append(Problem(path, "its name must be 1 to 40 of a-z, 0-9 and hyphen"))
    if not isinstance(table, dict):
        found.problems.append(Problem(path, f"must be a table, not {shown(table)}"))
        return None
    vendor = _vendor(table, path, found)
    common = {field.encode_name for field in fields(ConnectorConfig)}
    its_common_keys = {key: value for key, value in table.items() if key in common}
    if vendor is None:
        # `type` is reported already; of the other keys only the common ones can be judged.
        common_part = found.struct(its_common_keys | {"type": ""}, ConnectorConfig, path)
        if common_part is not None:
            found.add(list(crosschecks.check_connector(common_part, path)))
        return None
    config = found.struct(table, vendor.config, path)
    if config is not None:
        found.add([*crosschecks.check_connector(config, path), *vendor.check(config, path)])
    return config


def _vendor(table: Mapping[str, Any], path: str, found: Conversion) -> ConnectorType[Any] | None:
    vendors = all_types()
    place, known = f"{path}.type", ", ".join(map(shown, vendors))
    if "type" not in table:
        found.problems.append(Problem(place, f"is missing: one of {known}"))
        return None
    name = found.value(table["type"], str, place)
    if name is not None and name not in vendors:
        found.problems.append(Problem(place, f"must be one of {known}, not {shown(name)}"))
    return vendors.get(name) if name is not None else None


def _warnings(config: Config) -> list[Problem]:
    warnings = [*crosschecks.warn_topics(config.kafka, config.connectors)]
    if config.ingress is not None:
        warnings += crosschecks.warn_ingress(config.ingress)
    for name, connector in enabled(config.connectors).items():
        warnings += all_types()[connector.type].warn(connector, tomlpath.key("connectors", name))
    if not enabled(config.connectors):
        warnings.append(Problem("connectors", "there is none that is enabled: nothing will be received"))
    return warnings
