"""What takes more than one key to be wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamd.config.file import Loaded

Mistakes = Callable[[str], dict[str, str]]
Load = Callable[[str], Loaded]

PASSWORD = 'sasl_username = "u"\nsasl_password = { env = "BUTTON_PASSWORD" }\n'
OAUTH = (
    'sasl_oauth_token_url = "https://login.example.net"\nsasl_oauth_client_id = "c"\n'
    'sasl_oauth_client_secret = { env = "BUTTON_PASSWORD" }\n'
)


@pytest.mark.parametrize(
    ("protocol", "mechanism", "keys", "wrong"),
    [
        ("PLAINTEXT", None, "", set()),
        ("SSL", None, "", set()),
        ("SASL_SSL", None, PASSWORD, {"sasl_mechanism"}),
        ("SASL_SSL", "PLAIN", PASSWORD, set()),
        ("SASL_PLAINTEXT", "SCRAM-SHA-512", PASSWORD, set()),
        ("SASL_SSL", "SCRAM-SHA-256", "", {"sasl_username", "sasl_password"}),
        ("SASL_SSL", "OAUTHBEARER", OAUTH, set()),
        (
            "SASL_SSL",
            "OAUTHBEARER",
            "",
            {"sasl_oauth_token_url", "sasl_oauth_client_id", "sasl_oauth_client_secret"},
        ),
        ("SASL_SSL", "OAUTHBEARER", OAUTH + PASSWORD, {"sasl_username", "sasl_password"}),
        (
            "SASL_SSL",
            "PLAIN",
            OAUTH + PASSWORD,
            {"sasl_oauth_token_url", "sasl_oauth_client_id", "sasl_oauth_client_secret"},
        ),
        ("PLAINTEXT", "PLAIN", PASSWORD, {"sasl_mechanism", "sasl_username", "sasl_password"}),
        ("SSL", None, PASSWORD, {"sasl_username", "sasl_password"}),
        ("PLAINTEXT", None, 'ca_file = "/etc/hostname"\n', {"ca_file"}),
    ],
)
def test_kafka_security_has_every_key_it_needs_and_none_it_ignores(
    mistakes: Mistakes, kafka_table: str, protocol: str, mechanism: str | None, keys: str, wrong: set[str]
) -> None:
    text = f'{kafka_table}security_protocol = "{protocol}"\n{keys}'
    text += f'sasl_mechanism = "{mechanism}"\n' if mechanism else ""
    assert mistakes(text).keys() == {f"kafka.{key}" for key in wrong}


@pytest.mark.parametrize("prefix", ["", "a b", "a/b", "..", "é"])
def test_an_illegal_topic_prefix_is_a_mistake(mistakes: Mistakes, kafka_table: str, prefix: str) -> None:
    assert mistakes(f'{kafka_table}topic_prefix = "{prefix}"\n').keys() == {"kafka.topic_prefix"}


def test_a_topic_prefix_must_leave_room_for_the_longest_name(mistakes: Mistakes, kafka_table: str) -> None:
    longest = 249 - len(".streamd.connectors.state")
    assert mistakes(f'{kafka_table}topic_prefix = "{"p" * longest}"\n') == {}
    assert "too long" in mistakes(f'{kafka_table}topic_prefix = "{"p" * 249}"\n')["kafka.topic_prefix"]


@pytest.mark.parametrize(("factor", "fine"), [(-1, True), (1, True), (3, True), (0, False), (-2, False)])
def test_a_replication_factor_is_the_brokers_or_at_least_one(
    mistakes: Mistakes, kafka_table: str, factor: int, fine: bool
) -> None:
    assert (mistakes(f"{kafka_table}replication_factor = {factor}\n") == {}) is fine
    topic = f'{kafka_table}[kafka.topics."streamd.gaps"]\nreplication_factor = {factor}\n'
    assert mistakes(topic).keys() == (set() if fine else {'kafka.topics."streamd.gaps".replication_factor'})


def test_a_compacted_topic_stays_compacted(mistakes: Mistakes, kafka_table: str) -> None:
    text = kafka_table + '[kafka.topics."streamd.gaps"]\nconfig = {{ "cleanup.policy" = "{}" }}\n'
    [path] = mistakes(text.format("delete"))
    assert path == 'kafka.topics."streamd.gaps".config."cleanup.policy"'
    assert mistakes(text.format("compact")) == {}


def test_the_admin_token_is_needed_beyond_loopback_only(mistakes: Mistakes, kafka_table: str) -> None:
    beyond = f'{kafka_table}[admin]\nlisten = "0.0.0.0:9640"\n'
    assert mistakes(beyond).keys() == {"admin.token"}
    assert mistakes(f'{beyond}token = {{ env = "BUTTON_PASSWORD" }}\n') == {}
    assert mistakes(f'{kafka_table}[admin]\nlisten = "[::1]:0"\n') == {}


@pytest.mark.parametrize(
    ("admin", "ingress", "wrong"),
    [
        ("127.0.0.1:8443", "127.0.0.1:8443", True),
        ("127.0.0.1:8443", "0.0.0.0:8443", True),
        ("127.0.0.1:8443", "[::]:8443", True),
        ("127.0.0.1:8443", "127.0.0.2:8443", False),
        ("127.0.0.1:9640", "0.0.0.0:8443", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_one_port_cannot_be_listened_on_twice(
    mistakes: Mistakes, kafka_table: str, admin: str, ingress: str, wrong: bool
) -> None:
    tables = f'[ingress]\nlisten = "{ingress}"\npublic_url = "https://in.example.net"\n'
    tables += f'[admin]\nlisten = "{admin}"\n'
    assert mistakes(kafka_table + tables).keys() == ({"admin.listen"} if wrong else set())


def test_a_connector_that_is_pushed_to_needs_ingress(
    mistakes: Mistakes, whole: str, ingress_table: str
) -> None:
    without = whole.replace(ingress_table, "")
    assert mistakes(without).keys() == {"ingress"}
    assert mistakes(f"{without}enabled = false\n") == {}


def test_two_connectors_cannot_claim_one_path(mistakes: Mistakes, whole: str) -> None:
    second = whole[whole.index("[connectors.paris]") :].replace("paris", "lyon")
    assert mistakes(whole + second) == {
        "connectors.lyon": "claims an ingress path that connectors.paris has, too"
    }
    assert mistakes(f'{whole}{second}path = "/lyon"\n') == {}


def test_the_connectors_shares_must_fit_into_the_spool(mistakes: Mistakes, whole: str) -> None:
    second = whole[whole.index("[connectors.paris]") :].replace("paris", "lyon") + 'path = "/lyon"\n'
    spool = "[spool]\nmax_bytes = 1000\n"
    assert "less than" in mistakes(f"{whole}spool_bytes = 1001\n{spool}")["spool.max_bytes"]
    assert "nothing for lyon" in mistakes(f"{whole}spool_bytes = 1000\n{second}{spool}")["spool.max_bytes"]
    assert mistakes(f"{whole}spool_bytes = 600\n{second}spool_bytes = 400\n{spool}") == {}


def test_what_is_legal_but_odd_is_a_warning(load_text: Load, whole: str) -> None:
    text = whole.replace("https://in.example.net", "https://127.0.0.1:8443")
    text = text.replace('{ env = "BUTTON_PASSWORD" }', '"correct horse"')
    text += '[kafka.topics."pushbutton.pressed"]\npartitions = 1\n'
    warnings = {warning.path: warning.message for warning in load_text(text).warnings}
    assert warnings.keys() == {
        "ingress.public_url",
        "connectors.paris.password",
        'kafka.topics."pushbutton.pressed"',
    }
    assert 'did you mean "pushbutton.presses"?' in warnings['kafka.topics."pushbutton.pressed"']


def test_nothing_to_do_is_a_warning(load_text: Load, kafka_table: str) -> None:
    assert [warning.path for warning in load_text(kafka_table).warnings] == ["connectors"]
