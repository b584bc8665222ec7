"""`load` tells every mistake in one go, at its TOML path, with what is allowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamd.config.file import Loaded
from streamd.registry import all_types

Mistakes = Callable[[str], dict[str, str]]
Load = Callable[[str], Loaded]


def test_a_valid_configuration_has_no_mistakes(load_text: Load, whole: str) -> None:
    config = load_text(whole).config
    assert config.connectors["paris"].type == "pushbutton"
    assert config.kafka.partitions == 6
    assert config.admin.listen == "127.0.0.1:9640"


def test_mistakes_in_all_tables_are_told_together(mistakes: Mistakes) -> None:
    found = mistakes("""
        typo = 1
        [kafka]
        bootstrap_servers = ["localhost:9092", "nowhere"]
        partitions = "six"
        compresion = "zstd"
        security_protocol = "SASL_SSL"
        replication_factor = 0
        [spool]
        max_bytes = 0
        [ingress]
        listen = "8443"
        [admin]
        listen = "0.0.0.0:9640"
        [connectors.Paris]
        type = "pushbutton"
        base_url = "http://buttons.example.net"
        password = { env = "NOT_SET" }
        wait = "never"
        retry_min_seconds = 60
        [connectors.lyon]
        type = "pushbuton"
        enabled = 1
        [connectors.nice]
        selectors = 5
    """)
    assert found.keys() == {
        "typo",
        "kafka.bootstrap_servers[1]",
        "kafka.partitions",
        "kafka.compresion",
        "kafka.sasl_mechanism",
        "kafka.replication_factor",
        "spool.max_bytes",
        "ingress.listen",
        "ingress.public_url",
        "admin.token",
        "connectors.Paris",
        "connectors.Paris.base_url",
        "connectors.Paris.password",
        "connectors.Paris.wait",
        "connectors.Paris.retry_max_seconds",
        "connectors.lyon.type",
        "connectors.lyon.enabled",
        "connectors.nice.type",
    }


def test_a_key_that_is_missing_or_wrong_hides_no_other_mistake_of_its_vendor(
    mistakes: Mistakes, kafka_table: str
) -> None:
    found = mistakes(f"""{kafka_table}
        [connectors.emea]
        type = "avaya"
        base_url = "http://eu.api.avayacloud.com"
        account_id = "ABC"
        client_id = ""
        client_secret = {{ env = "NOT_SET" }}
        measure_producers = ["", 5, "Agent_itd_1.0.0", "Agent_itd_1.0.0"]
        [connectors.paris]
        type = "o2g"
        urls = ["https://o2g.example.net/?a=b"]
        password = {{ env = "NOT_SET" }}
        selectors = [{{ packages = ["telefony", "rti"] }}, {{ packages = ["system"], ids = ["1"] }}]
        timeout_minutes = 1
        rti = {{ obs_period_minutes = 1 }}
        [connectors.aicc]
        type = "huawei_aicc"
        request_zone = "Mars/Base"
    """)
    assert found.keys() == {
        *(f"connectors.emea.{key}" for key in ("base_url", "account_id", "client_id", "client_secret")),
        *(f"connectors.emea.{key}" for key in ("appkey", "measure_producers[0]", "measure_producers[1]")),
        "connectors.emea.measure_producers[3]",
        *(f"connectors.paris.{key}" for key in ("urls[0]", "login", "password", "timeout_minutes")),
        *(f"connectors.paris.{key}" for key in ("selectors[0].packages[0]", "selectors[1].ids")),
        "connectors.paris.rti.obs_period_minutes",
        *(f"connectors.aicc.{key}" for key in ("base_url", "access_key", "secret_key", "request_zone")),
        "ingress",
    }


@pytest.mark.parametrize("vendor", all_types())
def test_a_table_with_nothing_in_it_is_told_what_it_needs_and_nothing_that_is_not_so(
    mistakes: Mistakes, kafka_table: str, ingress_table: str, vendor: str
) -> None:
    found = mistakes(
        f'{kafka_table}{ingress_table}[connectors.a]\ntype = "{vendor}"\n[connectors.b]\ntype = "{vendor}"\n'
    )
    assert found
    assert all("is missing" in message for message in found.values())


@pytest.mark.parametrize(
    ("line", "path", "says"),
    [
        ('wait = "never"', "wait", 'one of "drop", "wait", not "never"'),
        ("enabled = 1", "enabled", "true or false, not 1"),
        ('retry_max_seconds = "a"', "retry_max_seconds", 'a number > 0, not "a"'),
        ("spool_bytes = 1.5", "spool_bytes", "a whole number ≥ 1, not 1.5"),
        ("spool_bytes = 0", "spool_bytes", "a whole number ≥ 1, not 0"),
        ('account = "AB"', "account", "at least 3 characters"),
        ("start_from = 2026-01-01T00:00:00", "start_from", "with its zone"),
        ("limits = { a = 0 }", "limits.a", "a whole number ≥ 1"),
        ('limits = { "a.b" = 0 }', 'limits."a.b"', "a whole number ≥ 1"),
        ("selectors = [{}]", "selectors[0].packages", "is missing"),
        (
            'selectors = [{ packages = ["x"] }, { packages = [] }]',
            "selectors[1].packages",
            "at least 1 items",
        ),
        ('selectors = [{ packages = ["x", 1] }]', "selectors[0].packages[1]", "a string, not 1"),
        ('selectors = [{ packages = ["x"], ids = "some" }]', "selectors[0].ids", '"all" or a list'),
        ('selectors = [{ packages = ["x"], idz = "all" }]', "selectors[0].idz", 'did you mean "ids"?'),
        ("headers = { a = 1 }", "headers.a", "a string, not 1"),
        ("privacy = { dropp = [] }", "privacy.dropp", 'did you mean "drop"?'),
        ("privacy = 5", "privacy", "must be a table, not 5"),
        ('privacy = { hash = ["a"] }', "privacy.hash_key", "is missing"),
        ('privacy = { mask = ["a..b"] }', "privacy.mask[0]", "dots between"),
        ('proxy = "ftp://x"', "proxy", "http://host:port"),
        ('Wait = "drop"', "Wait", 'did you mean "wait"?'),
        ("zzz = 1", "zzz", "known: "),
    ],
)
def test_each_mistake_stands_at_its_path_with_what_is_allowed(
    mistakes: Mistakes, whole: str, line: str, path: str, says: str
) -> None:
    found = mistakes(f"{whole}{line}\n")
    assert found.keys() == {f"connectors.paris.{path}"}
    assert says in found[f"connectors.paris.{path}"]


def test_whole_numbers_are_taken_for_numbers_and_unions_by_what_fits(load_text: Load, whole: str) -> None:
    text = whole + 'retry_max_seconds = 60\nselectors = [{ packages = ["x"], ids = ["1"] }]\n'
    config = load_text(text).config.connectors["paris"]
    assert config.retry_max_seconds == 60.0
    assert config.selectors[0].ids == ["1"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("written", ["2026-01-01T00:00:00Z", '"2026-01-01T00:00:00Z"'])
def test_a_time_may_be_written_as_toml_or_as_text(load_text: Load, whole: str, written: str) -> None:
    config = load_text(f"{whole}start_from = {written}\n").config.connectors["paris"]
    assert config.start_from.isoformat() == "2026-01-01T00:00:00+00:00"  # type: ignore[attr-defined]


def test_an_unknown_type_lists_the_known_ones(mistakes: Mistakes, kafka_table: str) -> None:
    found = mistakes(f'{kafka_table}[connectors.x]\ntype = "nobody"\nwhatever = 1\n')
    assert found.keys() == {"connectors.x.type"}
    assert '"pushbutton"' in found["connectors.x.type"]


@pytest.mark.parametrize("name", ["Paris", "a_b", "a" * 41, '"a.b"', '""'])
def test_a_connector_has_a_short_plain_name(mistakes: Mistakes, whole: str, name: str) -> None:
    found = mistakes(whole.replace("[connectors.paris]", f"[connectors.{name}]"))
    assert found == {f"connectors.{name}": "its name must be 1 to 40 of a-z, 0-9 and hyphen"}


def test_a_vendors_own_check_is_asked(mistakes: Mistakes, whole: str) -> None:
    text = whole.replace("https://buttons", "http://buttons")
    assert "insecure = true" in mistakes(text)["connectors.paris.base_url"]
    assert mistakes(f"{text}insecure = true\n") == {}


def test_a_configuration_without_kafka_is_a_mistake(mistakes: Mistakes) -> None:
    assert mistakes("").keys() == {"kafka"}


@pytest.mark.parametrize("text", ["kafka = 1", "connectors = 1", "connectors.a = 1", "admin = []"])
def test_what_should_be_a_table_may_be_anything_and_is_only_a_mistake(mistakes: Mistakes, text: str) -> None:
    assert text.split(" ")[0] in mistakes(text)


def test_no_mistake_shows_a_secret(mistakes: Mistakes, whole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIDDEN", "do-not-show")
    found = mistakes(f'{whole}wait = {{ env = "HIDDEN" }}\naccount = {{ env = "HIDDEN" }}\n')
    assert found.keys() == {"connectors.paris.wait", "connectors.paris.account"}
    assert "do-not-show" not in str(found)
