"""`streamd check`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from streamd.__main__ import main
from streamd.config import ConnectorConfig
from streamd.errors import Rejected, Transient
from streamd.probe import ProbeContext, Probed, probe_login
from tests.kafka.cluster import KafkaCluster
from tests.kafka.embedded import EmbeddedCluster

Capture = pytest.CaptureFixture[str]
ConfigFile = Callable[..., str]


def test_a_good_configuration_is_0_and_says_what_leaves_the_building(
    config_file: ConfigFile, capsys: Capture
) -> None:
    more = """privacy = { drop = ["measures.login"], mask = ["name"], allow_attached_data = true }
        [kafka.topics."pushbutton.nobody"]
    """
    assert main(["check", "--config", config_file(more=more)]) == 0
    out = capsys.readouterr().out
    assert 'warning: kafka.topics."pushbutton.nobody": unknown topic' in out
    for said in (
        "paris (pushbutton): to Kafka at localhost:9092",
        "topic contact-center.pushbutton.presses",
        "dropped: measures.login",
        "masked: name",
        "allow_attached_data: true",
        "every other field as the vendor sends it",
        "dead letters: size and hash only",
    ):
        assert said in out


def test_without_rules_it_says_that_everything_leaves(config_file: ConfigFile, capsys: Capture) -> None:
    assert main(["check", "--config", config_file()]) == 0
    assert "every field as the vendor sends it (no privacy rules)" in capsys.readouterr().out


def test_a_disabled_connector_lets_nothing_leave(config_file: ConfigFile, capsys: Capture) -> None:
    assert main(["check", "--config", config_file(more="enabled = false")]) == 0
    assert "paris (pushbutton): disabled, nothing leaves" in capsys.readouterr().out


def test_online_is_0_when_kafka_and_every_vendor_answer(
    config_file: ConfigFile, capsys: Capture, kafka: KafkaCluster | EmbeddedCluster
) -> None:
    servers = ", ".join(f'"{server}"' for server in kafka.bootstrap_servers)
    assert main(["check", "--online", "--config", config_file(f"bootstrap_servers = [{servers}]")]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()[-3:]]
    assert table == [
        ["NAME", "KIND", "OUTCOME", "REASON"],
        ["kafka", "kafka", "ok"],
        ["paris", "pushbutton", "ok"],
    ]


def test_online_is_1_when_something_cannot_be_reached(config_file: ConfigFile, capsys: Capture) -> None:
    assert main(["check", "--online", "--config", config_file('bootstrap_servers = ["127.0.0.1:1"]')]) == 1
    out = capsys.readouterr().out
    assert any(line.split()[:3] == ["kafka", "kafka", "unreachable"] for line in out.splitlines())


async def test_each_way_of_failing_has_its_word(autojump_clock: trio.testing.MockClock) -> None:
    async def refused() -> None:
        raise Rejected("wrong password")

    async def lost() -> None:
        raise Transient("connection refused")

    async def fine() -> None:
        await trio.lowlevel.checkpoint()

    assert await probe_login("a", "v", 5, refused) == Probed("a", "v", "refused", "wrong password")
    assert await probe_login("a", "v", 5, lost) == Probed("a", "v", "unreachable", "connection refused")
    assert await probe_login("a", "v", 5, trio.sleep_forever) == Probed(
        "a", "v", "unreachable", "no answer within 5 s"
    )
    assert (await probe_login("a", "v", 5, fine)).outcome == "ok"


async def test_the_context_of_a_probe_keeps_state_in_memory() -> None:
    context = ProbeContext("paris", ConnectorConfig(type="pushbutton"))
    await context.append([], {"a.1": b"x", "a.2": b"y", "b": b"z"})
    await context.append([], {"a.2": None})
    assert (context.state("a.1"), context.state("a.2")) == (b"x", None)
    assert context.states("a.") == {"a.1": b"x"}
    assert (context.origin.connector, context.origin.vendor) == ("paris", "pushbutton")
