"""Every mistake in a table is told, at its place, with what is allowed and whose rule it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamd.cli.check import leaving
from streamd.config.file import load
from streamd.connectors.omilia.delivery import (
    deliveries,
    ingress_paths,
    own_paths,
    parse_schema_name,
    token_url,
)
from streamd.errors import ConfigError

TABLE = {
    "type": '"omilia"',
    "exports_url": '"https://eu1-a.ocp.ai"',
    "iam_url": '"https://eu1-m.ocp.ai"',
    "group": '"acme_prod"',
    "data_types": '["dialog_start", "dialog_end"]',
    "username": '"u"',
    "password": '"a password"',
    "auth_id": '"omilia-acme"',
    "auth_secret": '"a push secret, quite long"',
}
EXTERNAL = {
    "token_issuer": '"external"',
    "token_url": '"https://id.example.net/t"',
    "jwks_url": '"https://id.example.net/k"',
    "issuer": '"https://id"',
    "audience": '"a"',
}


def loaded(tmp_path: Path, **changes: str | None) -> Any:
    path = tmp_path / "streamd.toml"
    table = {key: value for key, value in {**TABLE, **changes}.items() if value is not None}
    lines = "\n".join(f"{key} = {value}" for key, value in table.items())
    path.write_text(
        "[kafka]\nbootstrap_servers = ['k:9092']\n"
        "[ingress]\nlisten = '127.0.0.1:0'\npublic_url = 'https://in.example.net'\n"
        f"[connectors.omilia-x]\n{lines}\n"
    )
    return load(path)


def read(tmp_path: Path, **changes: str | None) -> Any:
    return loaded(tmp_path, **changes).config.connectors["omilia-x"]


def mistakes(tmp_path: Path, **changes: str | None) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, **changes)
    return {p.path.removeprefix("connectors.omilia-x."): p.message for p in caught.value.problems}


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        ({"data_types": "[]"}, "data_types", "at least one"),
        ({"data_types": '["dialog_start", "dialog_start"]'}, "data_types[1]", "Omilia's rule"),
        ({"data_types": '["audit", "audit_events"]'}, "data_types[1]", "other spelling"),
        ({"data_types": '["dialog_dream"]'}, "data_types[0]", "allow_unknown_data_type"),
        ({"data_types": '["Dialog"]'}, "data_types[0]", "streamd's rule"),
        ({"group": '"a/b"'}, "group", "ingress_prefix"),
        ({"ingress_prefix": '"omilia"'}, "ingress_prefix", "slash"),
        ({"auth_id": '""'}, "auth_id", "Omilia's rule"),
        ({"auth_id": '" x"'}, "auth_id", "streamd's rule"),
        ({"auth_secret": '"é"'}, "auth_secret", "printable ASCII"),
        ({"previous_auth_secret": '"a push secret, quite long"'}, "previous_auth_secret", "the same"),
        ({"auth_scope": f'"{"s" * 101}"'}, "auth_scope", "100"),
        ({"auth_scope": '"a  b"'}, "auth_scope", "RFC 6749"),
        (
            {"custom_headers": "{ x-a='1', x-b='1', x-c='1', x-d='1', x-e='1', x-f='1' }"},
            "custom_headers",
            "5",
        ),
        ({"custom_headers": "{ a = '1' }"}, "custom_headers.a", "start with x-"),
        ({"custom_headers": "{ X-OCPfoo = '1' }"}, "custom_headers.X-OCPfoo", "x-ocp"),
        ({"custom_headers": "{ 'x-a/b' = '1' }"}, 'custom_headers."x-a/b"', "slash"),
        ({"custom_headers": "{ x_a = '1' }"}, 'custom_headers."x_a"', "start with x-"),
        ({"custom_headers": "{ 'x-a_b' = '1' }"}, 'custom_headers."x-a_b"', "letters, digits and hyphen"),
        ({"custom_headers": "{ x-a = '1', X-A = '2' }"}, "custom_headers.X-A", "twice"),
        ({"custom_headers": "{ x-streamd-generation = '1' }"}, "custom_headers.x-streamd-generation", "own"),
        ({"custom_headers": f"{{ x-a = '{'v' * 1000}' }}"}, "custom_headers.x-a", "999"),
        ({"custom_headers": "{ x-a = 'é' }"}, "custom_headers.x-a", "ASCII"),
        ({"custom_headers": "{ x-a = '' }"}, "custom_headers.x-a", "empty"),
        ({"custom_headers": "{ x-a = ' v' }"}, "custom_headers.x-a", "blank"),
        ({"username": None}, "username", "is missing"),
        ({"password": None}, "password", "is missing"),
        ({"username": None, "password": None}, "username", "personal_access_token"),
        ({"personal_access_token": '"p"'}, "personal_access_token", "alone"),
        ({"jwks_url": '"https://id/k"'}, "jwks_url", "internal"),
        ({**EXTERNAL, "issuer": None}, "issuer", "is missing"),
        ({**EXTERNAL, "issuer": '"acme"', "token_url": None}, "issuer", "or set token_url"),
        ({**EXTERNAL, "previous_auth_secret": '"old"'}, "previous_auth_secret", "external"),
        ({"exports_url": '"http://eu1-a.ocp.ai"'}, "exports_url", "loopback"),
        ({"token_seconds": "10"}, "token_seconds", "60"),
        ({"token_seconds": "100000"}, "token_seconds", "86400"),
    ],
)
def test_each_mistake_is_told_at_its_place(
    tmp_path: Path, changes: dict[str, str | None], place: str, words: str
) -> None:
    found = mistakes(tmp_path, **changes)
    assert place in found, found
    assert words in found[place]


def test_every_mistake_is_told_at_once_and_no_secret_with_it(tmp_path: Path) -> None:
    found = mistakes(tmp_path, data_types="[]", auth_secret='" secret-é"', group='"a b"')
    assert set(found) == {"data_types", "auth_secret", "group"}
    assert "secret-é" not in str(found)


def test_an_audit_of_either_spelling_and_an_external_issuer_are_taken(tmp_path: Path) -> None:
    for name in ("audit", "audit_events"):
        assert read(tmp_path, data_types=f'["{name}"]').data_types == [name]
    named = ("token_issuer", "jwks_url", "issuer", "audience")  # all that INTERFACE.md asks for
    assert read(tmp_path, **{key: EXTERNAL[key] for key in named}).external
    assert read(tmp_path, **EXTERNAL, auth_secret='"short"').external  # its provider's rule holds
    unknown = {"data_types": '["dialog_dream"]', "allow_unknown_data_type": "true"}
    assert read(tmp_path, **unknown).data_types == ["dialog_dream"]


def test_each_data_type_has_a_path_and_each_connector_one_token_endpoint(tmp_path: Path) -> None:
    paths = ["/omilia/acme_prod/dialog_start", "/omilia/acme_prod/dialog_end"]
    assert ingress_paths(read(tmp_path)) == [*paths, "/omilia/acme_prod/oauth/token"]
    assert ingress_paths(read(tmp_path, **EXTERNAL)) == paths
    assert ingress_paths(read(tmp_path, ingress_prefix='"/here/"'))[0] == "/here/dialog_start"


def test_a_fingerprint_changes_with_every_setting_and_its_name_is_read_back(tmp_path: Path) -> None:
    def url(path: str) -> str:
        return f"https://in.example.net{path}"

    def fingerprint(**changes: str) -> str:
        config = read(tmp_path, **changes)
        endpoint = token_url(config, url)
        assert endpoint is not None
        found = deliveries(config, url, endpoint)["dialog_start"]
        assert found.path.startswith(own_paths(config, url))
        parsed = parse_schema_name(found.schema_name(7))
        assert parsed is not None
        assert (parsed.data_type, parsed.generation, parsed.fingerprint) == (
            "dialog_start",
            7,
            found.fingerprint,
        )
        return found.fingerprint

    prints = [
        fingerprint(),
        fingerprint(auth_secret='"another push secret, long"'),
        fingerprint(auth_id='"another"'),
        fingerprint(auth_scope='"another"'),
        fingerprint(custom_headers="{ x-a = 'b' }"),
        fingerprint(ingress_prefix='"/another/"'),
        fingerprint(**EXTERNAL),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint() == prints[0]
    assert parse_schema_name("ocp_cdr_start") is None


def test_check_says_what_leaves_the_building(tmp_path: Path) -> None:
    lines = list(leaving(loaded(tmp_path, **{"privacy.allow_kvps": '["Segment"]'}).config))
    text = "\n".join(lines)
    assert "dropped: bio, hashed_origin_uri" in text
    assert "origin_uri" in next(line for line in lines if line.strip().startswith("masked"))
    assert "allow_kvps: Segment" in text
    assert "allow_attached_data: none" in text
    assert "dead letters: size and hash only" in text
    open_ = "\n".join(leaving(loaded(tmp_path, **{"privacy.defaults": "false"}).config))
    assert "leaves: every field as the vendor sends it (no privacy rules)" in open_


def test_a_push_secret_that_can_be_guessed_is_warned_of(tmp_path: Path) -> None:
    def warned(**changes: str | None) -> bool:
        return any("can push" in each.message for each in loaded(tmp_path, **changes).warnings)

    assert warned(auth_secret='"short"')
    assert not warned()
    assert not warned(**EXTERNAL, auth_secret='"short"')  # its provider's rule holds
