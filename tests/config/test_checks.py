"""Addresses, base URLs and certificate files."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from streamd.config.certificates import check_files, distrust, subject
from streamd.config.checks import check_address, check_base_url, is_loopback, split_address


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("localhost:9092", ("localhost", 9092)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:9640", ("::1", 9640)),
        ("kafka-1.example.net:65535", ("kafka-1.example.net", 65535)),
    ],
)
def test_an_address_is_host_and_port(text: str, parts: tuple[str, int]) -> None:
    assert split_address(text) == parts


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", ":1", "::1:1", "host:65536", "host:-1", "host:1a", "h/p:1", "[x]:1", "a b:1"],
)
def test_anything_else_is_no_address(text: str) -> None:
    assert check_address(text, "x", any_port=True)


def test_port_0_is_to_listen_on_only() -> None:
    assert check_address("localhost:0", "x", any_port=True) == []
    assert check_address("localhost:0", "x", any_port=False)


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_loopback_is_known_by_name_and_address(host: str) -> None:
    assert is_loopback(host)
    assert not is_loopback(f"{host.strip('[]')}.example.net")


@pytest.mark.parametrize(
    ("url", "insecure", "fine"),
    [
        ("https://api.example.net/base", False, True),
        ("http://127.0.0.1:8080", False, True),
        ("http://localhost", None, True),
        ("http://[::1]:1", False, True),
        ("http://api.example.net", False, False),
        ("http://api.example.net", True, True),
        ("http://api.example.net", None, False),
        ("ftp://api.example.net", True, False),
        ("https://", True, False),
        ("api.example.net", True, False),
        ("https://user:hunter2@api.example.net", False, False),
        ("https://api.example.net?token=hunter2", False, False),
        ("https://api.example.net:x", False, False),
        ("https://.example.net", False, False),
        ("http://[::1", False, False),
    ],
)
def test_a_base_url_is_protected_or_on_loopback(url: str, insecure: bool | None, fine: bool) -> None:
    found = check_base_url(url, "x", insecure)
    assert (found == []) is fine
    assert "hunter2" not in str(found)


def test_websockets_have_schemes_of_their_own() -> None:
    assert check_base_url("ws://localhost", "x", False, ("wss", "ws")) == []
    assert "wss://" in check_base_url("ws://example.net", "x", False, ("wss", "ws"))[0].message
    assert check_base_url("https://example.net", "x", False, ("wss", "ws"))


@given(st.text())
def test_any_text_is_a_base_url_or_a_problem(text: str) -> None:
    assert all(problem.path == "x" for problem in check_base_url(text, "x"))
    assert all(problem.path == "x" for problem in check_address(text, "x", any_port=True))


class Files:
    """Certificates of one authority, as files."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        leaf = authority.issue_cert("in.example.net", common_name="streamd, prod", organization_name="ACME")
        self.ca = self._write(directory / "ca.pem", authority.cert_pem)
        self.certificate = self._write(directory / "cert.pem", *leaf.cert_chain_pems)
        self.key = self._write(directory / "key.pem", leaf.private_key_pem)
        self.both = self._write(directory / "both.pem", leaf.private_key_and_cert_chain_pem)
        self.other_key = self._write(directory / "other.pem", authority.issue_cert("x").private_key_pem)
        self.nonsense = str(directory / "nonsense.pem")
        Path(self.nonsense).write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")

    @staticmethod
    def _write(path: Path, *blobs: trustme.Blob) -> str:
        for blob in blobs:
            blob.write_to_path(path, append=path.exists())
        return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


def test_good_files_have_no_problems(files: Files) -> None:
    assert check_files("k", files.ca, files.certificate, files.key) == []
    assert check_files("k", None, files.both, None) == []
    assert check_files("k", None, None, None) == []


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (("key", None, None), "k.ca_file"),
        (("nonsense", None, None), "k.ca_file"),
        ((None, "certificate", None), "k.key_file"),
        ((None, None, "key"), "k.certificate_file"),
        ((None, "certificate", "other_key"), "k.key_file"),
        ((None, "key", "key"), "k.certificate_file"),
        ((None, "certificate", "ca"), "k.key_file"),
        ((None, "nonsense", "key"), "k.key_file"),
    ],
)
def test_a_bad_file_is_named_by_its_key(files: Files, names: tuple[str | None, ...], wrong: str) -> None:
    paths = [getattr(files, name) if name else None for name in names]
    assert [problem.path for problem in check_files("k", *paths)] == [wrong]


def test_a_file_that_is_not_there_is_named_with_the_reason(files: Files) -> None:
    found = check_files("k", "/nowhere/ca.pem", "/nowhere/cert.pem", "/nowhere/key.pem")
    assert [problem.path for problem in found] == ["k.ca_file", "k.certificate_file", "k.key_file"]
    assert all("No such file" in problem.message for problem in found)


def test_a_server_certificate_that_nobody_known_signed_is_found(files: Files) -> None:
    assert distrust(files.certificate, files.key, "in.example.net") is not None


def test_the_principal_of_a_client_certificate_is_its_subject_in_kafkas_spelling(files: Files) -> None:
    name = subject(files.certificate, files.key)
    assert name.startswith("CN=streamd\\, prod,OU=")
    assert name.endswith(",O=ACME")
