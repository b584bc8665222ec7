"""A real broker with passwords and ACLs: what is forbidden waits alone, and heals when it is allowed."""

from __future__ import annotations

import pytest
import trio

from streamd.config import KafkaConfig, Secret
from streamd.errors import Rejected
from streamd.model import TopicSpec
from streamd.publish.kafka import create, describe, probe

AUTO_CREATE = {"auto.create.topics.enable": "true"}


def secured(password: str = "right") -> dict[str, object]:
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_username": "streamd",
        "sasl_password": Secret(password),
    }


async def test_what_is_forbidden_waits_alone_until_it_is_allowed(
    connect, open_real_kafka, make_records, numbers_on, status_with, nursery
) -> None:
    cluster = await trio.to_thread.run_sync(
        lambda: open_real_kafka(users={"streamd": "right"}, properties=AUTO_CREATE)
    )
    allow = lambda *acl: trio.to_thread.run_sync(cluster.allow, "streamd", *acl)  # noqa: E731
    for topic in ("free", "revoked"):
        await trio.to_thread.run_sync(cluster.create_topic, topic)
        await allow("WRITE", topic)
    specs = [TopicSpec(name, 1, -1, "delete", {}) for name in ("free", "revoked", "later")]
    kafka = await connect(cluster.sasl_bootstrap_servers, specs, **secured())
    made = trio.Event()

    async def want_later() -> None:
        assert await kafka.partitions("later") == 1
        await kafka.publish("later", 0, make_records(0, 3))
        made.set()

    with trio.fail_after(30):
        await kafka.publish("revoked", 0, make_records(0, 3))
    await trio.to_thread.run_sync(cluster.forbid, "streamd", "WRITE", "revoked")
    async with trio.open_nursery() as stuck:
        stuck.start_soon(kafka.publish, "revoked", 0, make_records(3, 6))
        stuck.start_soon(want_later)
        await status_with(kafka, lambda status: {"revoked/0", "later"} <= status.stuck.keys())
        assert "not authorized" in kafka.status().stuck["later"]
        with trio.fail_after(30):
            await kafka.publish("free", 0, make_records(0, 3))
        assert kafka.status().connected
        assert "later" not in await trio.to_thread.run_sync(cluster.topics)  # auto-create is on: not by us
        for operation in ("CREATE", "WRITE"):
            await allow(operation, "later")
        await allow("WRITE", "revoked")
    await status_with(kafka, lambda status: status.stuck == {})
    assert kafka.status().rebuilds == 0
    assert await numbers_on(cluster.bootstrap_servers, "revoked") == list(range(6))
    await check_credentials(cluster, connect, status_with)


async def check_credentials(cluster, connect, status_with) -> None:
    servers = cluster.sasl_bootstrap_servers
    wrong = KafkaConfig(bootstrap_servers=servers, **secured("wrong"))
    for ask in (probe, lambda config: describe(config, {}), lambda config: create(config, {})):
        with pytest.raises(Rejected, match=r"SASL_AUTHENTICATION_FAILED: .* Invalid username") as refusal:
            await ask(wrong)
        assert "wrong" not in str(refusal.value)
    with trio.fail_after(30):
        await probe(KafkaConfig(bootstrap_servers=servers, **secured()))
    kafka = await connect(servers, **secured("wrong"))
    status = await status_with(kafka, lambda status: "SASL_AUTHENTICATION_FAILED" in str(status.reason))
    assert not status.connected
