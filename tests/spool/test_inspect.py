"""What `streamd spool` sees of a queue, from outside."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamd.__main__ import main
from streamd.errors import SpoolUnusable
from streamd.model import Origin, Record
from streamd.spool.directory import DATABASE
from streamd.spool.inspect import look
from streamd.spool.rows import Row, Share, record_bytes
from streamd.spool.store import Commit, Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARIS, ROME = Origin("paris", "o2g"), Origin("rome", "o2g")
Capture = pytest.CaptureFixture[str]


def row(row_id: int, origin: Origin, topic: str, partition: int, keys: list[str]) -> Row:
    records = [
        Record(
            key.encode(),
            None if key == "gone" else json.dumps({"key": key}).encode(),
            (("content-type", b"application/cloudevents+json"),),
            round(NOW.timestamp() * 1000) + row_id,
        )
        for key in keys
    ]
    size = sum(map(record_bytes, records))
    share = Share(origin.connector, origin.vendor, len(records), size)
    return Row(row_id, topic, partition, [share], records)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a spool that is open, as its daemon has it, with three rows of two connectors."""
    opened = Store(tmp_path / DATABASE, 2**30, NOW)
    rows = [
        row(1, PARIS, "p.o2g.agents", 0, ["a", "b"]),
        row(2, ROME, "p.o2g.agents", 0, ["c"]),
        row(3, PARIS, "p.o2g.agents.state", 1, ["gone"]),
    ]
    opened.commit(Commit(rows, {}, {}, {}, []))
    return opened


@pytest.fixture
def spool(store: Store, tmp_path: Path) -> list[str]:
    """Return the command's first words; the daemon that has the spool open is this process."""
    config = tmp_path / "streamd.toml"
    config.write_text(f"[kafka]\nbootstrap_servers = ['localhost:9092']\n[spool]\ndirectory = '{tmp_path}'\n")
    return ["spool", "--config", str(config)]


def command(spool: list[str], *arguments: str) -> list[str]:
    return [spool[0], arguments[0], *spool[1:], *arguments[1:]]


def test_lanes_tell_what_waits_and_since_when(store: Store, tmp_path: Path) -> None:
    with look(tmp_path) as found:
        lanes = found.lanes()
        assert found.epoch == store.epoch
    assert [(lane.connector, lane.topic, lane.partition, lane.rows, lane.events) for lane in lanes] == [
        ("paris", "p.o2g.agents", 0, 1, 2),
        ("paris", "p.o2g.agents.state", 1, 1, 1),
        ("rome", "p.o2g.agents", 0, 1, 1),
    ]
    assert lanes[0].oldest == NOW.replace(microsecond=1000)
    store.close()


def test_a_spool_whose_daemon_is_gone_can_be_looked_into(store: Store, tmp_path: Path) -> None:
    store.close()
    with look(tmp_path) as found:
        assert len(list(found.records())) == 4
        assert list(found.problems()) == []


def test_of_a_row_that_connectors_share_each_is_told_its_own(tmp_path: Path) -> None:
    store = Store(tmp_path / DATABASE, 2**30, NOW)
    one, other = row(1, PARIS, "p.o2g.agents", 0, ["a", "b"]), row(2, ROME, "p.o2g.agents", 0, ["c"])
    records = [record for part in (one, other) for record in part.records or ()]
    shared = Row(1, "p.o2g.agents", 0, one.shares + other.shares, records)
    store.commit(Commit([shared]))
    with look(tmp_path) as found:
        assert list(found.problems()) == []
        assert [(lane.connector, lane.rows, lane.events, lane.bytes) for lane in found.lanes()] == [
            ("paris", 1, 2, one.bytes),
            ("rome", 1, 1, other.bytes),
        ]
        assert [lane.oldest for lane in found.lanes()] == [
            NOW.replace(microsecond=1000),
            NOW.replace(microsecond=2000),
        ]
        assert [(each.connector, each.key) for each in found.records()] == [
            ("paris", "a"),
            ("paris", "b"),
            ("rome", "c"),
        ]
        assert [each.key for each in found.records(connector="rome")] == ["c"]
    store.close()


def test_where_there_is_no_spool_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpoolUnusable, match="there is no spool in"), look(tmp_path):
        pass
    (tmp_path / DATABASE).write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(SpoolUnusable, match="file is not a database"), look(tmp_path):
        pass


def test_it_cannot_write(store: Store, tmp_path: Path) -> None:
    with look(tmp_path) as found, pytest.raises(sqlite3.OperationalError, match="readonly"):
        found._connection.execute("DELETE FROM rows")
    store.close()


def test_ls_lists_lanes_and_sums_while_the_daemon_runs(
    store: Store, spool: list[str], capsys: Capture
) -> None:
    assert main(command(spool, "ls")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"epoch {store.epoch}"
    assert [line.split()[:5] for line in lines[3:]] == [
        ["paris", "p.o2g.agents", "0", "1", "2"],
        ["paris", "p.o2g.agents.state", "1", "1", "1"],
        ["rome", "p.o2g.agents", "0", "1", "1"],
        ["paris", "all", "all", "2", "3"],
        ["rome", "all", "all", "1", "1"],
    ]
    store.close()


def test_verify_finds_a_sound_spool_sound(store: Store, spool: list[str], capsys: Capture) -> None:
    assert main(command(spool, "verify")) == 0
    assert capsys.readouterr().out == "ok\n"
    store.close()


def test_verify_names_each_row_that_is_not_what_was_written(
    store: Store, spool: list[str], tmp_path: Path, capsys: Capture
) -> None:
    store.close()
    with sqlite3.connect(tmp_path / DATABASE) as vandal:
        vandal.execute("UPDATE rows SET payload = zeroblob(length(payload)) WHERE id = 1")
        vandal.execute("UPDATE rows SET shares = replace(shares, ',1,', ',7,') WHERE id = 3")
    vandal.close()
    assert main(command(spool, "verify")) == 1
    assert capsys.readouterr().out.splitlines() == [
        "row 1: the checksum of a row is wrong",
        "row 3: a row holds 1 records, not 7",
        "2 wrong",
    ]


def test_verify_reports_a_damaged_file_instead_of_ending_in_a_traceback(
    store: Store, spool: list[str], tmp_path: Path, capsys: Capture
) -> None:
    store.close()
    file = tmp_path / DATABASE
    data = bytearray(file.read_bytes())
    data[4096:] = bytes(byte ^ 0x5A for byte in data[4096:])
    file.write_bytes(data)
    assert main(command(spool, "verify")) == 1
    said = capsys.readouterr()
    assert said.out.startswith("the file: ") or said.err.startswith("error: cannot read ")


def test_dump_prints_one_json_line_for_each_record_in_order(
    store: Store, spool: list[str], capsys: Capture
) -> None:
    assert main(command(spool, "dump")) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["key"] for record in records] == ["a", "b", "c", "gone"]
    assert records[0] == {
        "row": 1,
        "connector": "paris",
        "topic": "p.o2g.agents",
        "partition": 0,
        "timestamp": "2026-03-01T12:00:00.001000Z",
        "key": "a",
        "headers": {"content-type": "application/cloudevents+json"},
        "value": {"key": "a"},
    }
    assert records[3]["value"] is None
    store.close()


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (["--connector", "paris"], ["a", "b", "gone"]),
        (["--topic", "p.o2g.agents"], ["a", "b", "c"]),
        (["--topic", "p.o2g.agents", "--connector", "rome"], ["c"]),
        (["--limit", "1"], ["a"]),
        (["--limit", "0"], []),
    ],
)
def test_dump_can_be_narrowed(
    options: list[str], keys: list[str], store: Store, spool: list[str], capsys: Capture
) -> None:
    assert main(command(spool, "dump", *options)) == 0
    assert [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()] == keys
    store.close()


def test_records_come_in_order_beyond_what_is_read_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path / DATABASE, 2**30, NOW)
    store.commit(Commit([row(n, PARIS, "t", 0, [str(n)]) for n in range(1, 301)], {}, {}, {}, []))
    with look(tmp_path) as found:
        assert [record.row for record in found.records()] == list(range(1, 301))
    store.close()


def test_without_a_spool_the_exit_code_is_1(tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "streamd.toml"
    config.write_text(
        "[kafka]\nbootstrap_servers = ['localhost:9092']\n[spool]\ndirectory = '/nonexistent'\n"
    )
    assert main(["spool", "ls", "--config", str(config)]) == 1
    assert capsys.readouterr().err == "error: there is no spool in /nonexistent\n"
