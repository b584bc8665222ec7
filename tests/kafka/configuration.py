"""The configuration of small Kafka brokers on loopback, and ports for them."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@dataclass(frozen=True)
class Ports:
    """A port per broker for each listener: clients and brokers, controllers, clients with a password."""

    plain: Sequence[int]
    controller: Sequence[int]
    sasl: Sequence[int]


def choose_ports(brokers: int) -> Ports:
    ports = free_ports(3 * brokers)
    return Ports(ports[:brokers], ports[brokers : 2 * brokers], ports[2 * brokers :])


def broker_properties(index: int, ports: Ports, users: Mapping[str, str]) -> dict[str, object]:
    """Return the properties of the broker at `index` (node.id is one more), storage not included."""
    listeners = {"PLAINTEXT": ports.plain[index], "CONTROLLER": ports.controller[index]}
    if users:
        listeners["SASL_PLAINTEXT"] = ports.sasl[index]
    quorum = ",".join(f"{n}@127.0.0.1:{port}" for n, port in enumerate(ports.controller, 1))
    identity = {"node.id": index + 1, "controller.quorum.voters": quorum}
    return {**identity, **_listeners(listeners), **_sizes(len(ports.plain)), **_security(users)}


def _listeners(ports: Mapping[str, int]) -> dict[str, object]:
    every = {name: f"{name}://127.0.0.1:{port}" for name, port in ports.items()}
    advertised = ",".join(address for name, address in every.items() if name != "CONTROLLER")
    return {
        "process.roles": "broker,controller",
        "listeners": ",".join(every.values()),
        "advertised.listeners": advertised,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
    }


def _sizes(brokers: int) -> dict[str, object]:
    """Return what makes it small and quick to start, and safe where there are three."""
    replicas = min(3, brokers)
    return {
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": max(1, replicas - 1),
        "offsets.topic.num.partitions": 1,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": 1,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": max(1, replicas - 1),
        "group.initial.rebalance.delay.ms": 0,
        "num.network.threads": 2,
        "num.io.threads": 2,
        # After a SIGKILL the new process is refused until the old one's session is over (9 s as shipped).
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
    }


def _security(users: Mapping[str, str]) -> dict[str, object]:
    if not users:
        return {}
    protocols = {"CONTROLLER": "PLAINTEXT", "PLAINTEXT": "PLAINTEXT", "SASL_PLAINTEXT": "SASL_PLAINTEXT"}
    passwords = " ".join(f'user_{name}="{password}"' for name, password in users.items())
    return {
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}" for name, protocol in protocols.items()
        ),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{PLAIN} required {passwords};",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",  # whoever comes by the plain listeners: brokers, and the test itself
    }


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, below the range from which the kernel serves outgoing connections.

    A broker that is down must find its port free again; in the kernel's range a client could have taken it,
    or connected to itself.
    """
    found: list[int] = []
    for port in random.sample(range(10_000, 32_000), 22_000):
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
