"""auth-v2, against the vectors of vendors/huawei_aicc.md, section 1."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.config import Secret
from streamd.connectors.huawei_aicc.signing import (
    CONTENT_TYPE,
    Keys,
    Message,
    Verdict,
    canonical,
    sign,
    verify,
)
from tests.connectors.huawei_aicc.vectors import BODY, CALLBACK

KEYS = Keys("TESTAK0001", Secret("not-a-real-secret"))
AT = datetime(2024, 5, 1, 1, 5, tzinfo=UTC)
PATH = "/CCFS/resource/ccfs/queryBillData"
HOST = "ccfs.example.net:18084"


def three(body: bytes, host: str) -> dict[str, str]:
    return {"Host": host, "Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))}


A = Message("POST", PATH, three(BODY, HOST), BODY)
B = Message("POST", PATH, {"Host": HOST}, BODY)
BARE = Message("POST", PATH, {"Host": "ccfs.example.net"}, BODY)
C = Message("POST", "/hooks/huawei/cdr", three(CALLBACK, "streamd.example.net:8443"), CALLBACK)
C_BARE = Message("POST", "/hooks/huawei/cdr", three(CALLBACK, "streamd.example.net"), CALLBACK)
D = Message("GET", "/x/y", {"host": "h.example.net"}, b"", [("b", "2 3"), ("a", "é"), ("c", "")])
E = Message("POST", "/x/y", {"host": "h.example.net"}, '{"n":"中/ ~*"}'.encode())
VECTORS = {
    "A": (A, AT, "96e295adf6f105e3fe5121664def9254865fb4331513ed534ae3c508e616f655"),
    "B": (B, AT, "4f6d4d5887c5c97d005aa26694d37f7fe5f60af75518f2093a27ec8611ed117f"),
    "B'": (BARE, AT, "a9dca89963b14b329c42437d364a368663daf5a339786a8152ea30f67b81420d"),
    "C": (
        C,
        AT + timedelta(seconds=14),
        "190dda942c677d7136e0de41671fe912928b2e1f9c1fa565eb3245475075f6da",
    ),
    "C bare": (
        C_BARE,
        AT + timedelta(seconds=14),
        "82fc342d6f338f3627b9b25d66e58de97a6c6fcb3bb8737e8d72bd38be469d82",
    ),
    "D": (D, AT, "3fd2ac3e4444579014290ec22f697d99a3feb160f05071304c26e4ed8f88a223"),
    "E": (E, AT, "f8c0b188ea9eebd98a79679ca58eef302640a8a9f1a61d575d649afe614a8d16"),
}


def lower(message: Message) -> Message:
    headers = {name.lower(): value for name, value in message.headers.items()}
    return Message(message.method, message.path, headers, message.body, message.query)


def judged(
    authorization: str, message: Message, now: datetime = AT, keys: Keys = KEYS, **candidates: Any
) -> Verdict:
    message = lower(message)
    asked = {"hosts": [message.headers["host"]], "paths": [message.path], "skew_seconds": 900.0, **candidates}
    return verify(keys, authorization, message, now, **asked)


@pytest.mark.parametrize("name", VECTORS)
def test_every_vector_is_signed_as_the_contract_has_it_and_verifies(name: str) -> None:
    message, at, signature = VECTORS[name]
    authorization = sign(KEYS, message, at)
    assert authorization.rpartition("/")[2] == signature
    assert judged(authorization, message) is Verdict.GOOD


def test_the_canonical_forms_are_the_contracts() -> None:
    assert hashlib.sha256(canonical(A).encode()).hexdigest() == (
        "8ff3d68b93a01904956a1c649cea79bbc566be4c9d61f672b060517865a2cbe8"
    )
    assert hashlib.sha256(canonical(B).encode()).hexdigest() == (
        "5169c302d66e1c0b88c96ec9ac7077f5eddbee9d797da5cefeaf0b1baa4d4e58"
    )
    assert canonical(D) == "GET\n/x/y\na=%C3%A9&b=2%203&c=\nhost\nhost:h.example.net\n"
    assert canonical(E).endswith("\n%7B%22n%22%3A%22%E4%B8%AD%2F%20~%2A%22%7D")


def test_the_header_names_its_scheme_key_time_and_signed_headers() -> None:
    assert sign(KEYS, A, AT).startswith(
        "auth-v2/TESTAK0001/2024-05-01T01:05:00Z/content-length;content-type;host/"
    )


def test_any_host_and_path_that_the_sender_may_have_signed_is_taken() -> None:
    bare = sign(KEYS, C_BARE, AT)
    assert judged(bare, C) is Verdict.FORGED
    assert judged(bare, C, hosts=["streamd.example.net:8443", "streamd.example.net"]) is Verdict.GOOD
    without = Message("POST", "", three(CALLBACK, HOST), CALLBACK)
    root = Message("POST", "/", three(CALLBACK, HOST), CALLBACK)
    assert judged(sign(KEYS, without, AT), root, paths=["/", ""]) is Verdict.GOOD
    queried = Message("POST", "/x?a=1", three(CALLBACK, HOST), CALLBACK)
    apart = Message("POST", "/x", three(CALLBACK, HOST), CALLBACK, [("a", "1")])
    assert judged(sign(KEYS, queried, AT), apart, paths=["/x", "/x?a=1"]) is Verdict.GOOD
    assert judged(sign(KEYS, apart, AT), apart, paths=["/x", "/x?a=1"]) is Verdict.GOOD


def test_a_timestamp_is_good_within_the_window_and_with_milliseconds() -> None:
    signed = sign(KEYS, A, AT)
    for seconds, verdict in ((900, Verdict.GOOD), (-900, Verdict.GOOD), (901, Verdict.EXPIRED)):
        assert judged(signed, A, AT + timedelta(seconds=seconds)) is verdict
    # Signed by hand: the literal text stands in the prefix.
    prefix = "auth-v2/TESTAK0001/2024-05-01T01:05:00.872Z/host"
    key = hmac.digest(b"not-a-real-secret", prefix.encode(), "sha256").hex()
    signature = hmac.digest(key.encode(), canonical(B).encode(), "sha256").hex()
    assert judged(f"{prefix}/{signature}", B) is Verdict.GOOD


def test_a_line_break_inside_the_header_means_nothing() -> None:
    before, slash, signature = sign(KEYS, A, AT).rpartition("/")
    assert judged(f"{before} \n {slash}{signature}", A) is Verdict.GOOD


def test_what_is_not_signed_by_our_keys_is_told_apart() -> None:
    signed = sign(KEYS, A, AT)
    assert judged("", A) is Verdict.UNSIGNED
    assert judged("Bearer abc", A) is Verdict.UNSIGNED
    assert judged(sign(Keys("OTHER", KEYS.secret), A, AT), A) is Verdict.STRANGER
    assert judged(sign(Keys("TESTAK0001", Secret("another")), A, AT), A) is Verdict.FORGED
    other = Message("POST", PATH, three(BODY, HOST), BODY.replace(b"0001", b"0002"))
    assert judged(signed, other) is Verdict.FORGED
    assert judged(signed, Message("POST", PATH + "x", A.headers, BODY)) is Verdict.FORGED


def test_a_signature_that_leaves_the_host_out_is_none() -> None:
    message = Message("POST", PATH, {"Content-Type": CONTENT_TYPE}, BODY)
    whole = Message("POST", PATH, three(BODY, HOST), BODY)
    assert judged(sign(KEYS, message, AT), whole) is Verdict.FORGED


@given(st.text(), st.binary(), st.text())
def test_any_header_and_body_gives_a_verdict(authorization: str, body: bytes, host: str) -> None:
    message = Message("POST", "/x", {"host": host}, body)
    assert judged(authorization, message) is not Verdict.GOOD


def test_the_secret_shows_nowhere() -> None:
    assert "not-a-real-secret" not in repr(KEYS)
