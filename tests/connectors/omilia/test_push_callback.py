"""Each row of vendors/omilia.md, table 3c: what a push is answered, and what is durable by then."""

from __future__ import annotations

import gc
import gzip
import json
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.connectors.omilia import callback
from streamd.simulators.omilia import open_omilia_simulator
from tests.connectors.omilia.pushing import (
    DIALOGS,
    END,
    NAME,
    START,
    STEP,
    Pushed,
    body,
    open_pushed,
    open_system,
    start,
)
from tests.judge import instant


@pytest.fixture
def system(tmp_path: Path) -> Callable[..., Any]:
    @asynccontextmanager
    async def open_it(*faults: str, **more: Any) -> AsyncIterator[Pushed]:
        async with open_system(tmp_path, *faults, **more) as (_, pushed):
            yield pushed

    return open_it


def is_object(answer: httpx.Response) -> bool:
    return answer.headers["content-type"] == "application/json" and isinstance(answer.json(), dict)


async def test_200_says_that_every_record_is_durable(system: Any) -> None:
    async with system() as pushed:
        answer = await pushed.push(start("d1"), start("d2"))
        durable = [event["data"]["id"] for event in pushed.dialogs()]
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "received": 2})
        assert is_object(answer)
        assert durable == ["d1", "d2"]


async def test_a_bad_record_is_a_dead_letter_and_the_good_ones_beside_it_are_events(system: Any) -> None:
    async with system(**{"privacy.dead_letter": '"full"'}) as pushed:
        bad = [
            b"42",
            b"null",
            b"[]",
            b'{"id":"odd"}',
            b'{"message_type":"dialog_start","id":"\xff"}',
            b'"text"',
        ]
        answer = await pushed.push(start("d1"), *bad, start("d2"))
        assert answer.status_code == 200
        assert [event["data"]["id"] for event in pushed.dialogs()] == ["d1", "d2"]
        letters = pushed.letters()
        assert [b64decode(letter["payload_base64"]) for letter in letters] == bad
        assert {letter["origin"] for letter in letters} == {"callback of dialog_start"}


@pytest.mark.parametrize(
    "bad",
    [
        b'{"message_type":"dialog_start","id":\x00"bad"}',
        b'{"message_type":"dialog_start","id":"b\x01ad"}',
        b'{"message_type":"dialog_start","id":"bad",}',
        b'{"message_type":"dialog_start" "id":"bad"}',
        b'{"message_type":"dialog_start","id":"bad"}\xff',
        b"\xff",
        b"",
        b'{"message_type":"dialog_start","time":1767261600.,"note":"],[ }{ \\" ,"}',
    ],
)
@pytest.mark.parametrize("enveloped", [True, False])
async def test_a_bad_byte_anywhere_in_a_record_spoils_that_record_alone(
    system: Any, bad: bytes, enveloped: bool
) -> None:
    async with system(**{"privacy.dead_letter": '"full"'}) as pushed:
        good = [json.dumps(start(each, notes='},{"[')).encode() for each in ("d1", "d2")]
        content = body(good[0], bad, good[1]) if enveloped else b"[%b, %b, %b]" % (good[0], bad, good[1])
        answer = await pushed.post(content)
        assert (answer.status_code, answer.json()["received"]) == (200, 3)
        assert [event["data"]["id"] for event in pushed.dialogs()] == ["d1", "d2"]
        assert [b64decode(letter["payload_base64"]) for letter in pushed.letters()] == [bad]
        assert pushed.tally["sequence_first"] == enveloped


@pytest.mark.parametrize(
    "bad",
    [
        b'{"message_type":"dialog_start","id":"bad}',
        b'{"message_type":"dialog_start","id":bad"}',
        b'{"message_type":"dialog_start","id":["bad"}',
        b'{"message_type":"dialog_start","id":"bad"}}',
        b'{"message_type":"dialog_start"}{"message_type":"dialog_start"}',
        b'"no record, but a text"\xff',
    ],
)
async def test_a_body_whose_records_cannot_be_told_apart_is_one_dead_letter_with_all_of_it(
    system: Any, bad: bytes
) -> None:
    async with system(**{"privacy.dead_letter": '"full"'}) as pushed:
        content = body(start("d1"), bad, start("d2"))
        assert (await pushed.post(content)).status_code == 200
        assert [b64decode(letter["payload_base64"]) for letter in pushed.letters()] == [content]
        assert pushed.dialogs() == []


async def test_a_record_of_another_type_is_kept_as_what_it_is_and_counted(system: Any) -> None:
    async with system() as pushed:
        await pushed.push({**start("d1"), "message_type": END}, {"message_type": "dialog_dream", "id": "x"})
        kinds = [event["type"] for event in pushed.events() if event["vendor"] == "omilia"]
        assert [kind for kind in kinds if "connector" not in kind and "gap" not in kind] == [
            "streamd.dialog.ended",
            "streamd.omilia.record",
        ]
        assert pushed.tally["mismatched_types"] == 2


async def test_an_audit_record_needs_no_type_and_another_record_does(system: Any) -> None:
    async with system(data_types=(START, "audit_events")) as pushed:
        await pushed.push({"user": "u1", "did": "log in"}, {}, data_type="audit_events")
        await pushed.push({"id": "d1", "group": "c1"})
        [audit] = pushed.events("audit.recorded")
        assert audit["data"]["message_type"] == "audit_events"
        assert audit["data"]["extra"] == {"user": "u1", "did": "log in"}
        assert [letter["reason"] for letter in pushed.letters()] == ["without a message_type"] * 2


@pytest.mark.parametrize(
    "content", [b"", b"{", b"nonsense", b"{}", b'"x"', b'{"messages":7}', b"\xff\xfe", b"["]
)
async def test_a_body_that_is_no_envelope_is_one_dead_letter_and_200(system: Any, content: bytes) -> None:
    async with system() as pushed:
        answer = await pushed.post(content)
        assert (answer.status_code, is_object(answer)) == (200, True)
        [letter] = pushed.letters()
        assert letter["payload_bytes"] == len(content)
        assert "payload_base64" not in letter, "privacy rules hold: the bytes stay here"


async def test_a_full_spool_is_503_with_retry_after_and_nothing_is_said_to_be_accepted(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback, "ANSWER_SECONDS", 0.1)
    async with system() as pushed:
        await pushed.ask_token()
        await pushed.push(start("d0"))
        pushed.keep_out()
        answer = await pushed.push(start("d1"))
        assert (answer.status_code, is_object(answer)) == (503, True)
        assert int(answer.headers["retry-after"]) > 0
        assert [event["data"]["id"] for event in pushed.dialogs()] == ["d0"]
        pushed.let_in()
        assert (await pushed.push(start("d1"))).status_code == 200
        assert [event["data"]["id"] for event in pushed.dialogs()] == ["d0", "d1"]


async def test_while_draining_it_is_503_with_retry_after(system: Any) -> None:
    async with system() as pushed:
        await pushed.push(start("d0"))
        pushed.listener.drain()
        answer = await pushed.push(start("d1"))
        assert (answer.status_code, is_object(answer)) == (503, True)
        assert int(answer.headers["retry-after"]) > 0


async def test_over_the_limit_in_flight_it_is_429_with_retry_after(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback, "MOST_IN_FLIGHT", 1)
    monkeypatch.setattr(callback, "ANSWER_SECONDS", 1.0)
    async with system() as pushed, trio.open_nursery() as nursery:
        await pushed.push(start("d0"))
        pushed.keep_out()
        nursery.start_soon(pushed.push, start("d1"))
        await pushed.until(lambda: pushed.spool.usage(NAME).waiting)
        answer = await pushed.push(start("d2"))
        assert (answer.status_code, is_object(answer)) == (429, True)
        assert int(answer.headers["retry-after"]) > 0
        pushed.let_in()


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x.y.z", "Basic b21pbGlhOng="])
async def test_a_bad_bearer_is_401_with_its_challenge_and_is_no_gap(system: Any, authorization: str) -> None:
    async with system() as pushed:
        answer = await pushed.post(body(start()), Authorization=authorization)
        assert (answer.status_code, is_object(answer)) == (401, True)
        assert answer.headers["www-authenticate"].startswith('Bearer realm="streamd"')
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert pushed.dialogs() == []
        assert pushed.gaps() == []


async def test_an_unknown_path_is_404_and_another_method_405(system: Any) -> None:
    async with system() as pushed:
        answers = [await pushed.post(body(start()), path) for path in ("other_type", "../other/dialog_start")]
        answers.append(await pushed.http.get(f"{pushed.url}{START}"))
        assert [answer.status_code for answer in answers] == [404, 404, 405]
        assert all(map(is_object, answers))


async def test_a_body_that_is_too_large_is_413_and_a_gap(tmp_path: Path) -> None:
    async with open_system(tmp_path) as (_, pushed):
        pushed.listener.claims._claims["/omilia/acme_prod/dialog_start"]._max_body_bytes = 1000
        answer = await pushed.push(start(notes="n" * 2000))
        assert (answer.status_code, is_object(answer)) == (413, True)
        await pushed.until(lambda: pushed.gaps())
        [gap] = pushed.gaps()
        assert (gap["cause"], gap["scope"], gap["events"]) == ("push_failed", [START], "pending")


async def test_failed_answers_are_one_gap_that_ends_with_the_first_push_that_is_accepted(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr("streamd.connectors.omilia.session.HEALTHY_SECONDS", 0.2)
    async with system() as pushed:
        await pushed.push(start("d0"))
        pushed.keep_out()
        assert [(await pushed.push(start(f"d{n}"))).status_code for n in (1, 2, 3)] == [503] * 3
        await pushed.until_state("degraded")
        pushed.let_in()
        await pushed.push(start("d1"))
        await pushed.until_state("live")
        await pushed.until(lambda: pushed.gaps() and pushed.gaps()[0]["to"])
        [gap] = pushed.gaps()
        assert (gap["cause"], gap["scope"], gap["events"]) == ("push_failed", [START], "pending")
        assert instant(gap["from"]) < instant(gap["to"])


async def test_a_silence_beyond_the_declared_one_is_a_gap_until_the_next_push(system: Any) -> None:
    async with system(max_silence_seconds="1.5") as pushed:
        await pushed.until(lambda: len(pushed.gaps()) == 3)
        assert {gap["cause"] for gap in pushed.gaps()} == {"silence"}
        assert "nothing was pushed" in pushed.reason
        await pushed.push(start())
        await pushed.until(lambda: any(gap["to"] for gap in pushed.gaps()))
        ended = [gap for gap in pushed.gaps() if gap["to"]]
        assert [(gap["scope"], gap["events"]) for gap in ended] == [([START], "pending")]


async def test_each_tolerated_form_is_taken_and_counted(system: Any) -> None:
    async with system() as pushed:
        lines = b"".join(json.dumps(start(f"l{n}")).encode() + b"\n" for n in range(3))
        await pushed.post(json.dumps(start("o1")).encode())
        await pushed.post(json.dumps([start("a1"), start("a2")]).encode())
        await pushed.post(lines)
        await pushed.push(start("e1"))
        await pushed.push()
        found = [event["data"]["id"] for event in pushed.dialogs()]
        assert found == ["o1", "a1", "a2", "l0", "l1", "l2", "e1"]
        counts = {form: pushed.tally[f"bodies_{form}"] for form in ("object", "array", "lines", "envelope")}
        assert counts == {"object": 1, "array": 1, "lines": 1, "envelope": 2}
        assert pushed.tally["empty_batches"] == 1


async def test_without_lenient_body_only_envelopes_are_taken(system: Any) -> None:
    async with system(lenient_body="false") as pushed:
        assert (await pushed.post(json.dumps(start()).encode())).status_code == 200
        assert (await pushed.post(json.dumps([start()]).encode())).status_code == 200
        assert pushed.dialogs() == []
        assert len(pushed.letters()) == 2


async def test_gzip_bodies_are_inflated(system: Any) -> None:
    async with system() as pushed:
        assert (await pushed.post(gzip.compress(body(start())), content_encoding="gzip")).status_code == 200
        assert len(pushed.dialogs()) == 1


async def test_what_comes_again_is_published_once_also_when_both_are_under_way(system: Any) -> None:
    async with system() as pushed:
        await pushed.push(start("d0"))
        pushed.keep_out()
        answers: list[httpx.Response] = []

        async def push(*records: Any) -> None:
            answers.append(await pushed.push(*records))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(push, start("d1"), start("d1"))
            await pushed.until(lambda: pushed.spool.usage(NAME).waiting)
            nursery.start_soon(push, start("d1"), start("d2"))
            await pushed.until(lambda: len(pushed.spool.usage(NAME).waiting) == 2)
            assert answers == []
            pushed.let_in()
        await pushed.push(start("d2"), start("d1"))
        assert [answer.status_code for answer in answers] == [200, 200]
        assert sorted(event["data"]["id"] for event in pushed.dialogs()) == ["d0", "d1", "d2"]
        assert pushed.tally["repeated_records"] == 4


async def test_a_record_whose_commit_failed_is_accepted_when_it_comes_again(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback, "ANSWER_SECONDS", 0.1)
    async with system() as pushed:
        await pushed.push(start("d0"))
        pushed.keep_out()
        assert (await pushed.push(start("d1"))).status_code == 503
        pushed.let_in()
        assert (await pushed.push(start("d1"))).status_code == 200
        assert [event["data"]["id"] for event in pushed.dialogs()] == ["d0", "d1"]


async def test_pushes_that_come_at_once_are_all_taken(system: Any) -> None:
    async with system() as pushed:
        await pushed.push(start("d0"))
        async with trio.open_nursery() as nursery:
            for kind in DIALOGS:
                for number in range(10):
                    record = {**start(f"{kind}{number}"), "message_type": kind}
                    nursery.start_soon(lambda kind=kind, record=record: pushed.push(record, data_type=kind))
        assert len(pushed.dialogs()) == 31


async def test_sequence_numbers_are_told_in_metrics_only(system: Any) -> None:
    async with system() as pushed:
        for name, number, count in [
            ("a", "0", 2),
            ("a", 2, 1),  # a number as a number, in order
            ("a", "9", 1),  # a hole
            ("b", "0", 1),
            ("b", "0", 1),  # the same number, other content: reading B
            ("a", "0", 1),  # a reset
        ]:
            records = [start(f"{name}{number}{n}{pushed.tally['records']}") for n in range(count)]
            answer = await pushed.push(*records, sessionId=name, sessionStartingSequenceNumber=number)
            assert answer.status_code == 200
        await pushed.push(start("none"), sessionStartingSequenceNumber=None)
        counts = {
            name.removeprefix("sequence_"): n
            for name, n in pushed.tally.counts.items()
            if "sequence_" in name
        }
        assert counts == {"first": 2, "in_order": 1, "hole": 1, "base": 1, "reset": 1, "missing": 1}
        assert len(pushed.dialogs()) == 8


async def test_a_batch_of_an_earlier_generation_and_a_strange_name_are_told_apart(system: Any) -> None:
    async with system() as pushed:
        await pushed.push(start("d1"), schemaName="streamd_dialog_start_g0_0123456789")
        await pushed.push(start("d2"), schemaName="somebody_elses")
        counts = pushed.tally
        assert (counts["earlier_generation_batches"], counts["mismatched_schema_names"]) == (1, 1)
        assert len(pushed.dialogs()) == 2


HOSTILE = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["messages", "message_type", "id", "time", "group", "nlu", "kvps", "events", "flow"]
                )
                | st.text(max_size=5),
                inner | st.sampled_from([START, STEP, END, "undefined"]),
                max_size=5,
            )
        ),
        max_leaves=15,
    ).map(lambda value: json.dumps(value).encode()),
)


async def test_whatever_is_pushed_is_events_or_dead_letters_and_200(tmp_path: Path) -> None:
    contents: list[bytes] = []

    @given(st.lists(HOSTILE, min_size=1, max_size=4), st.booleans())
    @settings(max_examples=150, database=None, suppress_health_check=list(HealthCheck))
    def gather(parts: list[bytes], enveloped: bool) -> None:
        contents.append(body(*parts) if enveloped else parts[0])

    gather()
    async with open_omilia_simulator() as simulator, open_pushed(tmp_path, simulator) as pushed:
        for content in contents:
            before = len(pushed.records())
            answer = await pushed.post(content)
            assert (answer.status_code, is_object(answer)) == (200, True), content
            assert (
                len(pushed.records()) > before
                or answer.json()["received"] == 0
                or pushed.tally["repeated_records"]
            )
        assert pushed.state == "live"


async def test_a_list_that_is_refused_is_asked_for_slowly_while_pushes_go_on_and_at_once_on_a_nudge(
    tmp_path: Path,
) -> None:
    async with open_system(tmp_path, data_types=[START]) as (simulator, pushed):
        simulator.set_faults("forbidden-403:list")
        await pushed.until_state("degraded")
        assert "403" in pushed.reason
        await trio.sleep(0.5)  # twice as long as between looks
        assert pushed.tally["rest_errors"] == 1
        assert (await pushed.push(start("d1"))).status_code == 200
        simulator.set_faults()
        pushed.runtime.nudge.give()
        await pushed.until_state("live")


async def test_a_large_body_that_is_spoilt_holds_nobody_up_while_its_records_are_cut(system: Any) -> None:
    async with system() as pushed:
        good = [json.dumps(start(f"d{number}", parts=[{}] * 500)).encode() for number in range(600)]
        content = body(*good[:300], b'{"id":"b\x01ad"}', *good[300:])
        longest = 0.0

        async def look() -> None:
            nonlocal longest
            while True:
                began = time.thread_time()
                await trio.sleep(0.001)
                longest = max(longest, time.thread_time() - began)

        gc.freeze()  # what other tests have left, to be looked through by a collection of garbage
        began = time.thread_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            answer = await pushed.post(content)
            nursery.cancel_scope.cancel()
        whole = time.thread_time() - began
        gc.unfreeze()
        assert (answer.status_code, answer.json()["received"]) == (200, 601)
        assert len(pushed.dialogs()) == 600
        assert len(pushed.letters()) == 1
        assert longest < whole / 3  # some 0.15; twice as long and more without the thread or the checkpoints


async def test_a_byte_order_mark_before_a_body_costs_no_record(system: Any) -> None:
    async with system() as pushed:
        for number, content in enumerate((body(start("d0")), json.dumps([start("d1")]).encode())):
            assert (await pushed.post(b"\xef\xbb\xbf" + content)).status_code == 200
            assert len(pushed.dialogs()) == number + 1
        assert not pushed.letters()


async def test_while_the_ingress_has_no_address_the_link_is_not_up_and_its_gap_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamd.ingress.listener._FIRST_WAIT", 0.02)
    async with open_omilia_simulator() as simulator:
        (other,) = await trio.open_tcp_listeners(simulator.ingress_port, host="127.0.0.1")
        async with open_pushed(tmp_path, simulator, [START], state="connecting") as pushed:
            assert pushed.listener.trouble is not None
            await trio.sleep(0.3)
            assert pushed.state == "connecting"
            freed = pushed.runtime.clock.now().timestamp()
            await other.aclose()
            await pushed.until_state("live")
            [gap] = [event["data"] for event in pushed.events("gap.closed")]
            assert instant(gap["to"]) > freed
