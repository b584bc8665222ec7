"""`streamd topics`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from streamd.__main__ import main
from tests.kafka.cluster import KafkaCluster

Capture = pytest.CaptureFixture[str]
ConfigFile = Callable[..., str]
TOPICS = (
    "pushbutton.buttons.state",
    "pushbutton.presses",
    "streamd.connectors",
    "streamd.connectors.state",
    "streamd.dead-letter",
    "streamd.gaps",
)


def test_missing_topics_are_1_and_made_on_request_as_configured(
    config_file: ConfigFile, capsys: Capture, real_kafka: KafkaCluster
) -> None:
    servers = ", ".join(f'"{server}"' for server in real_kafka.bootstrap_servers)
    prefix = real_kafka.unique_prefix()
    presses = '[kafka.topics."pushbutton.presses"]\npartitions = 2\nconfig = { "retention.ms" = "60000" }'
    path = config_file(f'bootstrap_servers = [{servers}]\ntopic_prefix = "{prefix}"\npartitions = 3', presses)

    def listed(*options: str) -> tuple[int, dict[str, list[str]]]:
        code = main(["topics", "--config", path, *options])
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        return code, {row[0]: row[1:] for row in rows}

    code, missing = listed()
    assert code == 1
    assert missing[f"{prefix}.pushbutton.presses"] == ["2", "delete", "60000", "missing"]
    assert missing[f"{prefix}.streamd.gaps"] == ["3", "compact", "-1", "missing"]
    assert missing.keys() == {f"{prefix}.{topic}" for topic in TOPICS}

    code, made = listed("--create")
    assert code == 0
    assert made[f"{prefix}.pushbutton.presses"] == ["2", "delete", "60000", "exists"]
    assert made[f"{prefix}.streamd.gaps"] == ["3", "compact", "-1", "exists"]
    assert listed() == (0, made)


def test_a_kafka_that_cannot_be_asked_is_1_with_the_reason(config_file: ConfigFile, capsys: Capture) -> None:
    assert main(["topics", "--config", config_file('bootstrap_servers = ["127.0.0.1:1"]')]) == 1
    assert "error: Kafka cannot be asked: " in capsys.readouterr().err


def test_the_acls_are_those_that_are_needed_one_a_line(config_file: ConfigFile, capsys: Capture) -> None:
    kafka = (
        'bootstrap_servers = ["localhost:9092"]\ntopic_prefix = "p"\nsecurity_protocol = "SASL_PLAINTEXT"\n'
        'sasl_mechanism = "PLAIN"\nsasl_username = "streamd"\nsasl_password = { env = "BUTTON_PASSWORD" }'
    )
    assert main(["topics", "--acls", "--config", config_file(kafka)]) == 0
    who = "--add --allow-principal User:streamd"
    topics = [f"{who} --operation Write --operation Describe --topic p.{topic}" for topic in TOPICS]
    create = f"{who} --operation Create --topic p. --resource-pattern-type prefixed"
    assert capsys.readouterr().out.splitlines() == [*topics, create]

    assert main(["topics", "--acls", "--config", config_file(f"{kafka}\ncreate_topics = false")]) == 0
    assert capsys.readouterr().out.splitlines() == topics


def test_the_principal_of_mutual_tls_is_the_certificates_subject(
    config_file: ConfigFile, capsys: Capture, tmp_path: Path
) -> None:
    leaf = trustme.CA().issue_cert("streamd.example.net", common_name="streamd prod")
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    kafka = (
        'bootstrap_servers = ["localhost:9092"]\nsecurity_protocol = "SSL"\n'
        f'certificate_file = "{tmp_path}/client.pem"'
    )
    assert main(["topics", "--acls", "--config", config_file(kafka)]) == 0
    assert "--allow-principal 'User:CN=streamd prod,OU=" in capsys.readouterr().out
