"""What an audit finds in records, which are written here by hand as INTERFACE.md has them."""

from __future__ import annotations

import json
from typing import Any

from streamd.audit.book import Book

EPOCH = "20261128T000000000000Z"
MEASURES = "/avaya/emea/measures"
STRUCTURED = [("content-type", b"application/cloudevents+json")]


def event(number: int, source: str = MEASURES, **more: Any) -> dict[str, Any]:
    sequence = str(number).zfill(20)
    return {
        "specversion": "1.0",
        "id": f"{EPOCH}-{sequence}",
        "source": source,
        "type": "streamd.measure.upserted",
        "epoch": EPOCH,
        "sequence": sequence,
        "data": {},
        **more,
    }


def progress(number: int, **last: int) -> dict[str, Any]:
    data = {
        "last": {
            stream.replace("_", "."): {"epoch": EPOCH, "sequence": str(count).zfill(20)}
            for stream, count in last.items()
        }
    }
    return event(number, "/avaya/emea/connectors", type="streamd.connector.progress", data=data)


def put(book: Book, topic: str, *events: dict[str, Any], partition: int = 0, key: bytes = b"emea|") -> None:
    for each in events:
        book.take(f"p.{topic}", partition, key, json.dumps(each).encode(), STRUCTURED)


def holes(book: Book) -> dict[tuple[str, str], list[int]]:
    return {(hole.connector, hole.stream): hole.numbers for hole in book.report().holes}


def test_a_number_that_is_nowhere_is_a_hole() -> None:
    book = Book("p")
    put(book, "avaya.measures", event(1), event(4), event(2))
    assert holes(book) == {("emea", "measures"): [3]}


def test_numbers_count_from_one_in_each_epoch() -> None:
    book = Book("p")
    put(book, "avaya.measures", event(1), event(2), event(2, epoch="20261129T000000000000Z"))
    (hole,) = book.report().holes
    assert (hole.epoch, hole.numbers) == ("20261129T000000000000Z", [1])


def test_what_the_progress_says_is_accepted_is_missed_at_the_tail() -> None:
    book = Book("p")
    put(book, "avaya.measures", event(1))
    put(book, "streamd.connectors", progress(1, measures=3))
    book.close()
    assert book.behind() == 2
    assert holes(book) == {("emea", "measures"): [2, 3]}


def test_what_a_running_daemon_accepts_behind_the_ends_is_no_hole() -> None:
    book = Book("p")
    put(book, "avaya.measures", event(1), event(2), partition=0)
    put(book, "avaya.measures", event(4), partition=1)
    book.close()
    assert book.behind() == 1
    # One partition shows what came meanwhile, the other ones and the progress do not yet.
    put(book, "avaya.measures", event(3), event(9), partition=0)
    put(book, "streamd.connectors", progress(7, measures=12))
    assert book.behind() == 0
    assert holes(book) == {}


def letter(number: int, source: str, topic: str) -> dict[str, Any]:
    of = {"source": source, "epoch": EPOCH, "sequence": f"{number:020}", "id": "x", "topic": topic}
    data = {"reason": "too large", "origin": "kafka", "payload_bytes": 1, "payload_sha256": "", "of": of}
    return event(1, "/avaya/emea/dead-letter", type="streamd.dead_letter.written", data=data)


def test_a_state_that_kafka_refused_is_no_part_of_the_count() -> None:
    book = Book("p")
    put(book, "streamd.dead-letter", letter(7, f"{MEASURES}.state", "p.avaya.measures.state"))
    report = book.report()
    assert (report.holes, report.dead_letters) == ([], 1)


def test_an_event_that_kafka_refused_stands_in_its_dead_letter() -> None:
    book = Book("p")
    put(book, "avaya.measures", event(1), event(3))
    put(book, "streamd.dead-letter", letter(2, MEASURES, "p.avaya.measures"))
    report = book.report()
    assert report.holes == []
    assert report.dead_letters == 1
    assert {each.stream: each.dead_lettered for each in report.streams} == {"measures": 1, "dead-letter": 0}


def test_what_retention_took_is_trimmed_and_no_hole() -> None:
    book = Book("p")
    book.begin("p.avaya.measures", 0, 100)
    book.begin("p.avaya.measures", 1, 0)
    put(book, "avaya.measures", event(5), event(7), partition=0)
    put(book, "avaya.measures", event(1), event(8), partition=1)
    report = book.report()
    assert [each.trimmed for each in report.streams] == [3]  # 2, 3, 4 may have been in partition 0
    assert holes(book) == {("emea", "measures"): [6]}  # which would still have this one


def test_a_record_that_came_twice_is_a_duplicate_and_one_event() -> None:
    book = Book("p")
    put(book, "avaya.measures", event(1), event(2), event(1))
    (found,) = book.report().streams
    assert (found.events, found.duplicates) == (2, 1)


def test_an_id_of_the_vendor_s_own_under_two_numbers_is_a_duplicate_and_no_hole() -> None:
    book = Book("p")
    source = "/omilia/acme/dialogs"
    put(
        book,
        "omilia.dialogs",
        event(1, source, id="d1"),
        event(2, source, id="d1"),
        event(3, source, id="d2"),
    )
    report = book.report()
    assert (report.duplicates, report.holes) == (1, [])


def test_the_latest_word_on_a_gap_is_told() -> None:
    book = Book("p")
    gap = {
        "gap_id": "g",
        "scope": ["*"],
        "from": None,
        "to": None,
        "cause": "new_spool",
        "events": "lost",
        "state": "stale",
        "healed_by": None,
        "healed_at": None,
    }
    put(book, "streamd.gaps", event(1, "/avaya/emea/gaps", data=gap), key=b"emea|g")
    put(book, "streamd.gaps", event(9, "/avaya/emea/gaps", data=gap | {"state": "restored"}), key=b"emea|g")
    report = book.report()
    assert [(each.connector, each.gap.state) for each in report.gaps] == [("emea", "restored")]
    assert report.holes == []  # the gaps topic is compacted


def test_binary_mode_is_read_as_well() -> None:
    book = Book("p")
    for number in (1, 3):
        attributes = {name: str(value) for name, value in event(number).items() if name != "data"}
        headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
        book.take("p.avaya.measures", 0, b"emea|", b"{}", [*headers, ("content-type", b"application/json")])
    assert holes(book) == {("emea", "measures"): [2]}


def test_state_records_tombstones_and_strangers_are_no_part_of_the_count() -> None:
    book = Book("p")
    state = event(1, "/avaya/emea/measures.state")
    del state["sequence"], state["epoch"]
    put(book, "avaya.measures.state", state)
    book.take("p.avaya.measures.state", 0, b"emea|", None, [("epoch", b"e")])
    book.take("p.other", 0, None, b"hello", [])
    book.take("p.other", 0, None, b"hello", STRUCTURED)
    report = book.report()
    assert report.streams == report.holes == []
    assert report.strange == {"p.other": 2}
