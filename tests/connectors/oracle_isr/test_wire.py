"""Section 7 of the contract: each tolerance as a reply as it came, and hostile ones refused."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.connectors.oracle_isr.entities import Recording
from streamd.connectors.oracle_isr.normalise import Normaliser, digest, link_name
from streamd.connectors.oracle_isr.tree import read_tree
from streamd.connectors.oracle_isr.wire import Reply, Shape, read_reply, recording_id
from streamd.connectors.oracle_isr.zone import Zone
from streamd.errors import ProtocolViolation

CAPTURED = Path(__file__).parent / "captured"
XML = (CAPTURED / "one.xml").read_text()
CURLY = (CAPTURED / "one-curly.json").read_text()
JSON = CURLY.replace("\u201d", '"')
MANY = (CAPTURED / "many.xml").read_text()
DECLARED = '<?xml version="1.0" encoding="UTF-16"?>\n'
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
MAKE = Normaliser("isr", Zone("UTC"))


def in_full(reply: Reply) -> Recording:
    assert reply.recording is not None
    return MAKE.recording(reply.recording, link_name(reply.recording), NOW)


def one(**fields: Any) -> Recording:
    recording = {"recordingId": 501, "startTime": "2024-05-01 06:37:27.120", **fields}
    return in_full(read_reply(json.dumps({"result": {"code": 0, "recording": recording}}).encode()))


# -- one model behind both formats


def test_json_and_xml_of_one_recording_give_the_same_but_for_the_ids_of_custom_data() -> None:
    xml, of_json = in_full(read_reply(XML.encode())), in_full(read_reply(JSON.encode()))
    for each in (xml, of_json):
        for part in (each, *(each.segments or ())):
            for custom in part.custom_data_sets or ():
                custom.custom_data_id = None
    assert xml == of_json
    assert xml.extra is None
    [segment] = xml.segments or ()
    assert segment.extra is None
    assert segment.location_id == "4"
    assert (segment.archived, segment.checksum_mismatch, segment.dtmf_digits) == (1, False, None)


def test_content_is_the_same_by_its_digest_in_both_formats() -> None:
    xml, of_json = read_reply(XML.encode()).recording, read_reply(JSON.encode()).recording
    assert xml is not None
    assert of_json is not None
    assert digest(xml) == digest(of_json)


def test_siprec_is_typed_and_its_times_are_no_events() -> None:
    recording = in_full(read_reply(JSON.encode()))
    [segment] = recording.segments or ()
    [siprec] = segment.siprec_data_sets or ()
    assert siprec.session is not None
    assert siprec.session.siprec_session_id == "sIbybsXtQ7pivcNTRvEN4A==DH"
    assert [each.name for each in siprec.session.extension_data_sets or ()] == [
        "apkt:callerOrig",
        "apkt:ucid",
    ]
    assert [each.values for each in siprec.session.extension_data_sets or ()][:1] == [["true"]]
    assert [each.name for each in siprec.participants or ()] == ["sipp_sd_siprec", "rss_sd_siprec"]
    assert [each.label for each in siprec.streams or ()] == ["65537", "65536"]
    assert recording.start_time == datetime(2018, 8, 29, 19, 0, 54, 923000, UTC)
    assert recording.end_time == datetime(2018, 8, 29, 19, 2, 54, 998000, UTC)


# -- section 7, row by row


def test_1_curly_quotes_are_repaired_after_a_failure_and_only_as_an_option() -> None:
    with pytest.raises(ProtocolViolation):
        read_reply(CURLY.encode())
    assert in_full(read_reply(CURLY.encode(), repair_quotes=True)) == in_full(read_reply(JSON.encode()))


def test_1_a_curly_quote_that_is_content_stays() -> None:
    assert one(agentId="the \u201dboss\u201d").agent_id == "the \u201dboss\u201d"
    body = json.dumps({"result": {"code": 0, "message": "a\u201d"}}, ensure_ascii=False).encode()
    assert read_reply(body, repair_quotes=True).message == "a\u201d"


@pytest.mark.parametrize(
    "custom",
    [
        [{"customData": {"name": "a", "value": "1"}}],
        [{"name": "a", "value": "1"}],
        {"customData": {"name": "a", "value": "1"}},
        {"customData": [{"name": "a", "value": "1"}]},
        [{"customData": {}}, {"customData": {"name": "a", "value": "1"}}],
    ],
)
def test_2_items_come_out_of_their_wrappers(custom: Any) -> None:
    [found] = one(customDataSets=custom).custom_data_sets or ()
    assert (found.name, found.value) == ("a", "1")


@pytest.mark.parametrize(
    "segments",
    [
        [{"segmentId": 9, "segment": {}}],
        [{"segment": {"segmentId": 9}}],
        [{"segmentId": 9}],
        [{"segmentId": "9", "segment": ""}],
    ],
)
def test_3_segments_lose_the_empty_one_in_them_and_may_be_wrapped(segments: Any) -> None:
    [found] = one(segments=segments).segments or ()
    assert (found.segment_id, found.extra) == ("9", None)


def test_4_location_and_the_names_of_lists_are_those_of_details() -> None:
    [segment] = one(segments=[{"location": 4}]).segments or ()
    assert (segment.location_id, segment.extra) == ("4", None)
    [match, _] = read_reply(MANY.encode()).matches or ()
    found = MAKE.recording(match, link_name(match), NOW)
    assert (found.ani, found.dnis) == ("7777", "5555")
    assert found.start_time == datetime(2021, 1, 18, 6, 37, 27, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sent", "read"), [(True, True), ("true", True), (1, True), ("0", False), (0, False)]
)
def test_5_a_truth_is_read_in_every_spelling(sent: Any, read: bool) -> None:
    assert one(sensitive=sent).sensitive is read


def test_5_ids_are_text_and_numbers_are_numbers_however_they_come() -> None:
    assert one(account="1").account == one(account=1).account == "1"
    assert one(duration="30500").duration == one(duration=30500).duration == 30500


def test_5_what_is_of_another_type_is_kept_as_it_came() -> None:
    found = one(duration="long", sensitive="perhaps", colour="red", segments="none")
    assert found.extra == {"duration": "long", "sensitive": "perhaps", "colour": "red", "segments": "none"}


@pytest.mark.parametrize("empty", ["", " \n", [], None, {}])
def test_6_empty_has_one_meaning(empty: Any) -> None:
    assert one(agentId=empty, customDataSets=empty, segments=empty) == one()


def test_6_an_empty_element_is_absent() -> None:
    text = "<result><code>0</code><recording><recordingId>1</recordingId><agentId/></recording></result>"
    assert in_full(read_reply(text.encode())).agent_id is None


def test_7_a_list_of_one_element_is_a_list() -> None:
    matches = MANY.partition("</match>")[0] + "</match></matches></result>"
    assert len(read_reply(matches.encode()).matches or ()) == 1


def test_8_the_digest_does_not_know_the_ids_of_custom_data_nor_what_the_archiver_writes() -> None:
    def made(number: int, remark: str, value: str) -> bytes:
        custom = [{"customDataId": number, "name": "a", "value": value}]
        segments = [{"segmentId": 1, "archivalRemarks": remark}]
        return digest({"recordingId": 5, "customDataSets": custom, "segments": segments})

    assert made(7, "by 2", "x") == made(3, "by 1", "x")
    assert made(7, "by 2", "x") != made(7, "by 2", "y")


ENCODED = {
    "utf-8, declared utf-16": (DECLARED + XML).encode(),
    "utf-8 with BOM": b"\xef\xbb\xbf" + (DECLARED + XML).encode(),
    "utf-16 little-endian with BOM": b"\xff\xfe" + (DECLARED + XML).encode("utf-16-le"),
    "utf-16 big-endian with BOM": b"\xfe\xff" + (DECLARED + XML).encode("utf-16-be"),
    "utf-16 little-endian": (DECLARED + XML).encode("utf-16-le"),
    "utf-16 big-endian": (DECLARED + XML).encode("utf-16-be"),
    "json, utf-16": JSON.encode("utf-16"),
}


@pytest.mark.parametrize("body", ENCODED.values(), ids=ENCODED)
def test_10_the_bytes_tell_the_encoding_and_not_the_declaration(body: bytes) -> None:
    assert in_full(read_reply(body)).recording_id == "11905071"


HOSTILE = {
    "entity": '<!DOCTYPE r [<!ENTITY a "b">]><result><code>0</code><message>&a;</message></result>',
    "billion laughs": '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><result>&b;</result>',
    "external": '<!DOCTYPE r SYSTEM "file:///etc/passwd"><result><code>0</code></result>',
    "undeclared entity": "<result><code>0</code><message>&nbsp;</message></result>",
    "deep": "<result>" + "<a>" * 5000 + "</a>" * 5000 + "</result>",
    "deep json": '{"a":' * 5000 + "1" + "}" * 5000,
    "somewhat deep json": '{"result":{"code":0,"recording":' + '{"a":' * 100 + "1" + "}" * 102,
    "html": "<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
    "html without a type": "<html><body><h1>502</h1></body></html>",
    "tomcat": "<html><head><title>Apache Tomcat</title></head><body><hr>oops</body></html>",
    "empty": "",
    "blank": " \n ",
    "text": "busy",
    "not a number": '{"result":{"code":NaN}}',
    "a list": "[1,2]",
    "cut short": JSON[:200],
    "template": "<Call><id>1</id></Call>",
    "no code": "<result><message>x</message></result>",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_10_what_is_hostile_or_not_faces_is_refused(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        read_reply(text.encode())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<response><Code>0</Code><message>success</message></response>", 0),
        (b'{"response":{"Code":"0","message":"success"}}', 0),
        (b"<result><code> -1 </code></result>", -1),
        (b'{"code":19,"message":"none"}', 19),
        (b"<result><version>5.2.0M0P0 build 7</version></result>", None),
        (b'{"result":{"code":"what"}}', None),
    ],
)
def test_11_every_envelope_is_read(body: bytes, code: int | None) -> None:
    assert read_reply(body).code == code


def test_12_blanks_around_ids_are_no_part_of_them() -> None:
    text = "<result><code>0</code><recording><recordingId>\n 501\n</recordingId></recording></result>"
    recording = read_reply(text.encode()).recording
    assert recording is not None
    assert recording_id(recording) == "501"


def test_13_the_first_character_decides_whatever_was_asked_for() -> None:
    assert read_reply(b"  " + XML.encode()).recording is not None
    assert read_reply(b"\n" + JSON.encode()).recording is not None


# -- the shapes


MATCH = {"match": {"recordingId": 1, "ingressCallId": "a", "start": "2024-05-01 06:37:27"}}
CUT = "Selection criteria insufficient. There were more matches than maxListLength, please refine"


@pytest.mark.parametrize(
    ("result", "asked", "shape"),
    [
        ({"code": 0, "recording": {"recordingId": 1}}, 1000, Shape.ONE),
        ({"code": -1, "recording": {"recordingId": 1}}, 1000, Shape.ONE),
        ({"code": -1, "matches": [MATCH, MATCH]}, 1000, Shape.LIST),
        ({"code": 0, "matches": [MATCH]}, 1000, Shape.LIST),
        ({"code": -1, "matches": []}, 1000, Shape.LIST),
        ({"code": -1, "matches": [MATCH, MATCH]}, 2, Shape.CUT),
        ({"code": -1, "matches": [MATCH], "message": CUT}, 1000, Shape.CUT),
        ({"code": 19}, 1000, Shape.NONE),
        ({"code": "26"}, 1000, Shape.NONE),
        ({"code": 0, "message": "ACK"}, 1000, Shape.NONE),
        ({"code": -1, "message": "NACK"}, 1000, Shape.ERROR),
        ({"code": 10}, 1000, Shape.ERROR),
    ],
)
def test_the_shapes_are_told_apart_by_structure_first(result: Any, asked: int, shape: Shape) -> None:
    assert read_reply(json.dumps({"result": result}).encode()).shape(asked) is shape


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("3600seconds", 3600), ("120", 120), (90, 90), (None, 3600), ("soon", 3600), ("0", 3600), (" 60s", 60)],
)
def test_a_tokens_life_is_read_with_its_unit_glued_on(said: Any, seconds: float) -> None:
    body = json.dumps({"result": {"code": 0, "token": "t", "expiration": said}}).encode()
    assert read_reply(body).life_seconds == seconds


# -- anything


@given(st.binary(max_size=300))
def test_any_bytes_give_a_reply_or_a_violation(body: bytes) -> None:
    with suppress(ProtocolViolation):
        read_reply(body, repair_quotes=True)


NAMES = [
    *("recordingId", "isrUcid", "ingressCallId", "startTime", "duration", "segments", "segment", "start"),
    *("end", "customDataSets", "customData", "name", "values", "value", "sensitive", "matches", "match", "x"),
]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(["code", "message", "recording", "matches"]), ANY_JSON))
def test_any_json_in_an_envelope_gives_events_that_can_be_written(inner: dict[str, Any]) -> None:
    try:
        reply = read_reply(json.dumps({"result": inner}).encode())
    except ProtocolViolation:
        return
    for tree in (*(reply.matches or ()), *([reply.recording] if reply.recording else [])):
        link = link_name(tree)
        data = MAKE.recording(tree, link, NOW)
        event = MAKE.ended(tree, data, link, NOW, "live")
        assert msgspec.json.decode(msgspec.json.encode(event.data), type=dict) is not None
        assert digest(tree) == digest(tree)


def test_what_json_can_spell_and_nobody_can_publish_is_text() -> None:
    body = rb'{"result":{"half\ud800":"\ud800x","great":99999999999999999999,"endless":1e999,"small":-5}}'
    _, tree = read_tree(body)
    assert tree == {"half?": "?x", "great": "99999999999999999999", "endless": "inf", "small": -5}
    msgspec.json.encode(tree)


def test_a_line_break_inside_a_time_of_xml_is_a_blank() -> None:
    body = b"<r><start>2020-12-17\n      05:10:26.9</start><note>two\n lines</note></r>"
    assert read_tree(body) == ("r", {"start": "2020-12-17 05:10:26.9", "note": "two\n lines"})


def test_the_order_of_a_recording_s_parts_is_no_content() -> None:
    parts = [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    assert digest({"customDataSets": parts}) == digest({"customDataSets": parts[::-1]})
    assert digest({"dtmfDigits": ["1", "2"]}) != digest({"dtmfDigits": ["2", "1"]})
