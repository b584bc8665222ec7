"""Check what takes more than one key: SASL, addresses, the spool's shares, topics, ingress paths."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import urlsplit

from streamd.config import (
    AdminConfig,
    ConnectorConfig,
    IngressConfig,
    KafkaConfig,
    PrivacyConfig,
    SpoolConfig,
    tomlpath,
)
from streamd.config.allowed import unknown
from streamd.config.certificates import check_files, distrust
from streamd.config.checks import check_address, check_base_url, is_loopback, split_address
from streamd.config.derived import CLEANUP, enabled, shares, streams
from streamd.errors import Problem, Rejected
from streamd.privacy import parse
from streamd.registry import all_types
from streamd.transport.proxy import parse_proxy

_LEGAL_TOPIC = re.compile(r"[A-Za-z0-9._-]+")
_LONGEST_TOPIC = 249
_BY_PASSWORD = ("sasl_username", "sasl_password")
_BY_OAUTH = ("sasl_oauth_token_url", "sasl_oauth_client_id", "sasl_oauth_client_secret")
_ANYWHERE = frozenset(("0.0.0.0", "::"))  # noqa: S104 - to compare with
_CERTIFICATES = ("ca_file", "certificate_file", "key_file")


def check_kafka(kafka: KafkaConfig) -> Iterator[Problem]:
    """Find what is wrong in `[kafka]` alone."""
    if not kafka.bootstrap_servers:
        yield Problem("kafka.bootstrap_servers", "must name at least one server, host:port")
    for index, server in enumerate(kafka.bootstrap_servers):
        yield from check_address(server, tomlpath.item("kafka.bootstrap_servers", index), any_port=False)
    if not _LEGAL_TOPIC.fullmatch(kafka.topic_prefix) or kafka.topic_prefix.strip(".") == "":
        yield Problem("kafka.topic_prefix", "must be of letters, digits, dot, underscore and hyphen only")
    yield from _check_replication(kafka)
    yield from _check_security(kafka)
    if kafka.security_protocol.endswith("SSL"):
        yield from check_files("kafka", kafka.ca_file, kafka.certificate_file, kafka.key_file)


def _check_replication(kafka: KafkaConfig) -> Iterator[Problem]:
    factors = {"kafka.replication_factor": kafka.replication_factor} | {
        f"{tomlpath.key('kafka.topics', name)}.replication_factor": topic.replication_factor
        for name, topic in kafka.topics.items()
        if topic.replication_factor is not None
    }
    for path, factor in factors.items():
        if factor != -1 and not 1 <= factor <= 32767:
            yield Problem(path, f"must be -1 (the broker's default) or at least 1, not {factor}")


def _check_security(kafka: KafkaConfig) -> Iterator[Problem]:
    """See that each key which the protocol and mechanism need is there, and none that they ignore."""
    protocol, mechanism = kafka.security_protocol, kafka.sasl_mechanism
    sasl = protocol.startswith("SASL_")
    needed: tuple[str, ...] = ()
    if sasl:
        needed = ("sasl_mechanism", *(_BY_OAUTH if mechanism == "OAUTHBEARER" else _BY_PASSWORD))
    for key in needed:
        if getattr(kafka, key) is None:
            by = f"security_protocol {protocol}" if key == "sasl_mechanism" else f"sasl_mechanism {mechanism}"
            if key == "sasl_mechanism" or mechanism is not None:
                yield Problem(f"kafka.{key}", f"is missing: {by} needs it")
    if mechanism is not None or not sasl:
        reason = f"security_protocol is {protocol}" + (f" with {mechanism}" if sasl else "")
        for key in ("sasl_mechanism", *_BY_PASSWORD, *_BY_OAUTH):
            if key not in needed and getattr(kafka, key) is not None:
                yield Problem(f"kafka.{key}", f"has no use: {reason}")
    if not protocol.endswith("SSL"):
        for key in _CERTIFICATES:
            if getattr(kafka, key) is not None:
                yield Problem(f"kafka.{key}", f"has no use: security_protocol is {protocol}")
    if kafka.sasl_oauth_token_url is not None:
        yield from check_base_url(kafka.sasl_oauth_token_url, "kafka.sasl_oauth_token_url")


def check_ingress(ingress: IngressConfig) -> Iterator[Problem]:
    """Find what is wrong in `[ingress]` alone."""
    yield from check_address(ingress.listen, "ingress.listen", any_port=True)
    yield from check_base_url(ingress.public_url, "ingress.public_url", insecure=True)
    if ingress.tls is not None:
        yield from check_files("ingress.tls", None, ingress.tls.certificate_file, ingress.tls.key_file)


def warn_ingress(ingress: IngressConfig) -> Iterator[Problem]:
    """Say what will keep vendors from reaching us, in an `[ingress]` without mistakes."""
    host = urlsplit(ingress.public_url).hostname or ""
    if is_loopback(host):
        yield Problem("ingress.public_url", "is on loopback: no vendor can reach it")
    elif not ingress.public_url.lower().startswith("https://"):
        yield Problem("ingress.public_url", "is without TLS: what vendors send can be read on its way")
    if ingress.tls is not None:
        reason = distrust(ingress.tls.certificate_file, ingress.tls.key_file, host)
        if reason is not None:
            yield Problem("ingress.tls.certificate_file", f"will not be accepted by a vendor: {reason}")


def check_admin(admin: AdminConfig) -> Iterator[Problem]:
    """Find what is wrong in `[admin]`."""
    found = check_address(admin.listen, "admin.listen", any_port=True)
    yield from found
    if not found and not is_loopback(split_address(admin.listen)[0]) and admin.token is None:
        yield Problem("admin.token", f"is missing: listen is {admin.listen}, which is beyond loopback")


def check_listeners(admin: AdminConfig, ingress: IngressConfig) -> Iterator[Problem]:
    """See that the two listeners do not want the same port, in tables without mistakes."""
    (host, port), (other, its_port) = split_address(admin.listen), split_address(ingress.listen)
    if port and port == its_port and (host == other or {host, other} & _ANYWHERE):
        yield Problem("admin.listen", f"cannot be had beside ingress.listen, which is {ingress.listen}")


def check_connector(config: ConnectorConfig, path: str) -> Iterator[Problem]:
    """Find what is wrong in the keys that every connector has."""
    yield from check_files(path, config.ca_file, config.certificate_file, config.key_file)
    if config.retry_min_seconds > config.retry_max_seconds:
        yield Problem(f"{path}.retry_max_seconds", "must not be below retry_min_seconds")
    if config.proxy is not None:
        yield from _check_proxy(config.proxy, f"{path}.proxy")
    yield from _check_privacy(config.privacy, f"{path}.privacy")


def _check_proxy(url: str, path: str) -> Iterator[Problem]:
    try:
        parse_proxy(url)
    except Rejected as error:
        yield Problem(path, error.reason)


def _check_privacy(privacy: PrivacyConfig, path: str) -> Iterator[Problem]:
    if privacy.hash and privacy.hash_key is None:
        yield Problem(f"{path}.hash_key", "is missing: hash needs it")
    for rule in ("drop", "mask", "hash"):
        for index, field in enumerate(getattr(privacy, rule)):
            try:
                parse(field)
            except ValueError as error:
                yield Problem(tomlpath.item(f"{path}.{rule}", index), str(error))


def check_spool(spool: SpoolConfig, connectors: Mapping[str, ConnectorConfig]) -> Iterator[Problem]:
    """See that the connectors' shares fit into the spool, and that something is left for each."""
    own = {name: each.spool_bytes for name, each in enabled(connectors).items() if each.spool_bytes}
    total = sum(own.values())
    if total > spool.max_bytes:
        named = ", ".join(own)
        yield Problem("spool.max_bytes", f"is {spool.max_bytes}, less than spool_bytes of {named}: {total}")
        return
    for name, share in shares(spool, connectors).items():
        if share == 0:
            yield Problem(
                "spool.max_bytes", f"leaves nothing for {name}: other connectors' spool_bytes take all"
            )


def check_ingress_paths(
    ingress: IngressConfig | None, connectors: Mapping[str, ConnectorConfig], sound: Collection[str]
) -> Iterator[Problem]:
    """See that what vendors push to has a listener, and no two connectors claim one path.

    The paths of connectors that are not `sound`, which have a mistake, may become others.
    """
    claimed: dict[str, str] = {}
    for name, each in enabled(connectors).items():
        paths = all_types()[each.type].paths(name, each)
        place = tomlpath.key("connectors", name)
        if paths and ingress is None:
            yield Problem("ingress", f"is missing: {place} is pushed to by its vendor")
        for path in paths if name in sound else ():
            if path in claimed:
                yield Problem(place, f"claims an ingress path that {claimed[path]} has, too")
            claimed[path] = place


def check_topics(kafka: KafkaConfig, connectors: Mapping[str, ConnectorConfig]) -> Iterator[Problem]:
    """See that each topic's whole name is not too long and no override changes what a topic is for."""
    needed = dict.fromkeys(streams(connectors))
    longest = max((stream.topic for stream in needed), key=len)
    too_long = len(f"{kafka.topic_prefix}.{longest}") - _LONGEST_TOPIC
    if too_long > 0:
        yield Problem("kafka.topic_prefix", f"is {too_long} characters too long for topic {longest}")
    for stream in needed:
        override = kafka.topics.get(stream.topic)
        policy = override.config.get(CLEANUP) if override is not None else None
        if policy not in (None, stream.cleanup):
            place = tomlpath.key(f"{tomlpath.key('kafka.topics', stream.topic)}.config", CLEANUP)
            yield Problem(place, f'must stay "{stream.cleanup}": consumers rely on it')


def warn_topics(kafka: KafkaConfig, connectors: Mapping[str, ConnectorConfig]) -> Iterator[Problem]:
    """Say which overrides are for topics that no connector fills."""
    needed = sorted({stream.topic for stream in streams(connectors)})
    for name in kafka.topics:
        if name not in needed:
            yield Problem(tomlpath.key("kafka.topics", name), unknown("topic", name, needed))
