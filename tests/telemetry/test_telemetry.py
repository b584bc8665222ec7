"""The log never stalls its callers, never shows a secret, and says what it had to drop."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.config import KafkaConfig, Secret
from streamd.redaction import cleaned, redact, redacted, redacted_bytes
from streamd.telemetry import configure, logger, noteworthy
from streamd.telemetry.liblog import ALLOWED, WITHIN_SECONDS, LibraryHandler, Ration
from streamd.telemetry.logpipe import LogPipe
from streamd.telemetry.metrics import Metrics


class Output:
    """A pipe with a reader that collects what is written to it."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()

    def close_writing(self) -> None:
        os.close(self.write_end)

    def rest(self) -> bytes:
        """Read to the end."""
        with os.fdopen(self.read_end, "rb", closefd=False) as file:
            return file.read()

    def lines(self) -> list[dict[str, Any]]:
        self.close_writing()
        return [json.loads(line) for line in self.rest().splitlines()]


@pytest.fixture
def output() -> Iterator[Output]:
    pipe = Output()
    yield pipe
    for end in (pipe.read_end, pipe.write_end):
        try:
            os.close(end)
        except OSError:
            continue


def test_a_line_is_json_with_time_level_event_first_and_the_bound_keys(output: Output) -> None:
    with configure(descriptor=output.write_end):
        logger(connector="paris").info("connected", attempt=3)
    [line] = output.lines()
    assert list(line) == ["timestamp", "level", "event", "connector", "attempt"]
    assert (line["level"], line["event"], line["attempt"]) == ("info", "connected", 3)
    assert line["timestamp"].endswith("Z")


def test_text_is_written_for_terminals(output: Output) -> None:
    with configure(descriptor=output.write_end, text=True):
        logger().info("connected", attempt=3)
    output.close_writing()
    text = output.rest()
    assert b"connected" in text
    assert not text.startswith(b"{")


def test_below_the_threshold_nothing_is_written(output: Output) -> None:
    with configure(descriptor=output.write_end, level="warning"):
        logger().info("quiet")
        logger().warning("loud")
    assert [line["event"] for line in output.lines()] == ["loud"]


@pytest.mark.parametrize("text", [False, True])
def test_no_secret_is_shown_wherever_it_stands(output: Output, text: bool) -> None:
    redact("s3cr3t&word")
    with configure(descriptor=output.write_end, text=text):
        log = logger(connector="paris")
        log.info("struct", config=KafkaConfig(["k:1"], sasl_password=Secret("plain-secret")))
        log.info("nested", value={"list": ["x s3cr3t&word y", Secret("plain-secret")]}, raw=b"s3cr3t&word")
        log.info("encoded", url="https://h/?q=s3cr3t%26word", key_s3cr3t={"s3cr3t&word": 1})
        try:
            token = "s3cr3t&word"
            raise ValueError(f"bad {token}")
        except ValueError as error:
            log.error("crashed", exc_info=error)
        logging.getLogger("some.library").error("login with %s failed", "s3cr3t&word")
    output.close_writing()
    written = output.rest()
    assert b"crashed" in written
    assert b"some.library" in written
    assert b"s3cr3t&word" not in written
    assert b"s3cr3t%26word" not in written
    assert b"plain-secret" not in written


def test_a_traceback_is_a_table_without_the_frames_locals(output: Output) -> None:
    with configure(descriptor=output.write_end):
        try:
            local = "only-in-a-local"  # noqa: F841 - what must not be logged
            raise ValueError("bad")
        except ValueError as error:
            logger().error("crashed", exc_info=error)
    [line] = output.lines()
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert "only-in-a-local" not in str(line)


def test_libraries_are_heard_from_warnings_on_only(output: Output) -> None:
    with configure(descriptor=output.write_end):
        logging.getLogger("httpx").info("GET https://h/?token=x")
        logging.getLogger("aiokafka").debug("request with a password")
        logging.getLogger("some.library").warning("odd %s", "frame")
    [line] = output.lines()
    assert (line["logger"], line["level"], line["event"]) == ("some.library", "warning", "odd frame")


def test_a_library_whose_words_do_not_fit_its_format_is_heard_all_the_same() -> None:
    heard: list[dict[str, Any]] = []
    handler = LibraryHandler(heard.append)
    handler.handle(logging.LogRecord("aiokafka", logging.ERROR, "", 0, "%d of %d", (1,), None))
    assert heard == [{"event": "%d of %d", "level": "error", "logger": "aiokafka"}]


def test_a_library_that_repeats_itself_is_rationed_and_the_rest_is_counted() -> None:
    now = 0.0
    ration = Ration(lambda: now)

    def said(message: str = "connect failed: %s") -> logging.LogRecord | None:
        record = logging.LogRecord("aiokafka", logging.ERROR, "", 0, message, ("x",), None)
        return record if ration.filter(record) else None

    assert [said() is not None for _ in range(ALLOWED + 45)] == [True] * ALLOWED + [False] * 45
    assert said("another: %s") is not None
    now = WITHIN_SECONDS + 1
    record = said()
    assert record is not None
    assert record.__dict__["suppressed"] == 45
    for number in range(10_000):
        said(f"{number}")
    assert len(ration._seen) <= 1000, "messages seen once do not pile up"


def test_a_stalled_reader_stalls_no_caller_and_the_drops_are_counted_and_told(output: Output) -> None:
    with configure(descriptor=output.write_end) as log:
        line = "x" * 8000
        while not log.dropped:
            logger().info("flood", line=line)
        dropped = log.dropped
        reader = threading.Thread(target=lambda: collected.append(output.rest()))
        collected: list[bytes] = []
        reader.start()
        assert log.flush(10)
        logger().info("after")
        log.close()
    output.close_writing()
    reader.join(10)
    lines = [json.loads(each) for each in collected[0].splitlines()]
    told = [each for each in lines if each["event"] == "log_lines_dropped"]
    assert sum(each["count"] for each in told) == dropped
    assert lines[-1]["event"] in ("after", "log_lines_dropped")


def test_closing_waits_for_a_stalled_reader_no_longer_than_told(output: Output) -> None:
    pipe = LogPipe(output.write_end, lambda count: b"", limit_bytes=1_000_000)
    pipe.put(b"x" * 500_000)
    pipe.close(seconds=0.05)
    assert pipe._writer.is_alive(), "the reader has read nothing, and we are here"
    os.close(output.read_end)
    pipe._writer.join(5)


def test_a_reader_that_is_gone_ends_the_writing_and_nothing_else(output: Output) -> None:
    os.close(output.read_end)
    pipe = LogPipe(output.write_end, lambda count: b"")
    pipe.put(b"lost\n")
    pipe._writer.join(5)
    pipe.put(b"dropped\n")
    assert pipe.dropped >= 1
    pipe.close()


def test_a_line_that_journald_would_cut_is_replaced_by_a_short_one(output: Output) -> None:
    with configure(descriptor=output.write_end):
        logger(connector="paris").info("long", parts=["x" * 8000] * 10, one="y" * 100_000)
    [line] = output.lines()
    assert (line["event"], line["connector"]) == ("long", "paris")
    assert line["truncated"] > 48_000


def test_a_known_secret_is_stars_in_bytes_too_whatever_else_they_are() -> None:
    redact("secret-among-bytes")
    assert redacted_bytes(b"\xff secret-among-bytes \x00") == b"\xff *** \x00"


def test_a_passing_token_is_forgotten_after_many_others() -> None:
    redact("first-passing-token", passing=True)
    assert redacted("first-passing-token") == "***"
    for number in range(300):
        redact(f"passing-token-{number:05}", passing=True)
    assert redacted("first-passing-token") == "first-passing-token"
    assert redacted("passing-token-00299") == "***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pw@host/x", "https://***@host/x"),
        ("https://h/?access_token=abc&page=2", "https://h/?access_token=***&page=2"),
        ("wss://h/x?sig=abc#f", "wss://h/x?sig=***#f"),
        ("Authorization: Bearer abcdefghij.klm", "Authorization: Bearer ***"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_without_being_known(text: str, shown: str) -> None:
    assert redacted(text) == shown


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    )
)
def test_any_value_can_be_logged(value: Any) -> None:
    msgspec.json.encode(cleaned(value))


def test_a_lone_surrogate_can_be_logged() -> None:
    assert cleaned("\udc80") == "?"


def test_a_noteworthy_moment_is_logged_and_counted_under_one_name(output: Output) -> None:
    metrics = Metrics()
    with configure(descriptor=output.write_end):
        counters = metrics.for_connector("paris", "avaya")
        noteworthy(logger(connector="paris"), counters, "subscription_recreated", reason="404")
    [line] = output.lines()
    assert (line["event"], line["level"], line["reason"]) == ("subscription_recreated", "warning", "404")
    metrics.hand_over()
    assert b'streamd_avaya_subscription_recreated_total{connector="paris"} 1.0' in b"".join(metrics.render())


def test_metrics_of_every_connector_begin_at_zero_and_go_when_it_goes() -> None:
    metrics = Metrics()
    metrics.for_connector("paris", "avaya").count("dead_letters", 2)
    metrics.for_connector("lyon", "avaya")
    metrics.set_state("paris", "live")
    metrics.spool_bytes.labels("paris").set(10)
    metrics.hand_over()
    page = b"".join(metrics.render()).decode()
    assert 'streamd_dead_letters_total{connector="paris"} 2.0' in page
    assert 'streamd_dead_letters_total{connector="lyon"} 0.0' in page
    assert 'streamd_connector_state{connector="paris",state="live"} 1.0' in page
    assert 'streamd_connector_state{connector="paris",state="lost"} 0.0' in page
    assert all(line.startswith(("#", "streamd_")) for line in page.splitlines())
    metrics.forget("paris")
    assert "paris" not in b"".join(metrics.render()).decode()


def test_two_sets_of_metrics_do_not_meet() -> None:
    one, other = Metrics(), Metrics()
    one.for_connector("paris", "avaya").count("pings")
    for each in (one, other):
        each.hand_over()
    assert b"pings" in b"".join(one.render())
    assert b"pings" not in b"".join(other.render())


def test_a_counter_with_a_name_that_prometheus_refuses_is_a_bug_at_once() -> None:
    with pytest.raises(ValueError, match="snake_case"):
        Metrics().for_connector("paris", "avaya").count("not-a-name")


def test_a_closed_log_leaves_the_configuration_as_it_was() -> None:
    before = structlog.get_config()
    with configure(descriptor=2, level="critical"):
        assert structlog.get_config() != before
    assert structlog.get_config() == before
