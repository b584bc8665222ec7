"""The table of an Omilia connector, and what its types cannot express.

The rules of a subscription are those of vendors/omilia.md, section 2; each message says whether the rule is
in Omilia's document ("Omilia's rule") or our stricter reading of it ("streamd's rule").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from streamd.config import ConnectorConfig, Count, Positive, PrivacyConfig, Rules, Secret
from streamd.config.checks import check_base_url, warn_of_short
from streamd.errors import Problem

Name = Annotated[str, Meta(min_length=1)]

DIALOG_TYPES = ("dialog_start", "dialog_step", "dialog_end")
AUDIT_TYPES = ("audit_events", "audit")
KNOWN_TYPES = (*DIALOG_TYPES, *AUDIT_TYPES, "vb_enrolment", "vb_verification")
_LONG_ENOUGH = 20  # that many printable characters can hold 128 bits, the least by RFC 6749, 10.10
MOST_HEADERS, LONGEST_VALUE, LONGEST_SCOPE = 5, 999, 100
GENERATION_HEADER = "x-streamd-generation"

_GROUP = re.compile(r"[A-Za-z0-9_.@-]+")
_DATA_TYPE = re.compile(r"[a-z][a-z0-9_]{0,35}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~@-]+)+/")

_HASHED = ("hashed_origin_uri",)
_MASKED = (
    "original_utterance",
    "transcription",
    "nlu.semantic_interpretation[].utterance",
    "nlu.semantic_interpretation[].entities[].instances[].value",
    "incoming_attached_data",
    "kvps[].value",
    "events",
    "vb_enrolment",
    "vb_verification",
)
_BIOMETRICS = ("bio", "vb_enrolment", "vb_verification")
PREFIXED = ("origin_uri", "destination_uri")
"""Telephone numbers: hashed where there is a key, else their first digits are kept."""


class OmiliaPrivacy(PrivacyConfig, frozen=True, forbid_unknown_fields=True):
    """What never leaves the building. Much in Omilia's records is personal (vendors/omilia.md, section 5):
    those fields are treated without being named, unless `keep` names them or `defaults` is false."""

    defaults: bool = True
    keep: list[str] = field(default_factory=list)
    """Paths that the defaults are to leave as they are."""
    allow_attached_data: list[str] = field(default_factory=list)
    """Keys of `incoming_attached_data` whose values leave; of the others only the key does."""
    allow_kvps: list[str] = field(default_factory=list)
    """Keys whose values leave in `kvps` and in `events`."""
    biometrics: bool = False
    """Let `bio` and the records of voice biometrics leave as they are."""

    def by_default(self) -> Rules:
        """Give the paths that are treated although nobody names them."""
        if not self.defaults:
            return Rules()
        key = self.hash_key is not None
        kept = {*self.keep, *(_BIOMETRICS if self.biometrics else ())}
        masked = [*_MASKED, *(() if key else PREFIXED)]
        hashed = [*_HASHED, *PREFIXED] if key else []
        dropped = ["bio", *(() if key else _HASHED)]
        all_paths = (dropped, masked, hashed)
        return Rules(*([each for each in self.unnamed(paths) if each not in kept] for paths in all_paths))


class ExportConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How batch exports are made: how often a job is looked at, and after how long it is given up."""

    poll_seconds: Positive = 15.0
    deadline_seconds: Positive = 21600.0
    types_style: Literal["legacy", "v2"] = "legacy"
    """How a job names its types: `Dialog Start` as Omilia's page does, or `dialog_start` as newer ones do."""


class OmiliaConfig(ConnectorConfig, frozen=True, kw_only=True):
    """The keys of an Omilia connector, in Omilia's words (INTERFACE.md)."""

    exports_url: str
    iam_url: str
    realm: Name = "master"
    group: Name
    data_types: list[str]
    username: str | None = None
    password: Secret | None = None
    otp: Secret | None = None
    """Sent with the password where the user has one configured."""
    personal_access_token: Secret | None = None
    personal_access_token_scheme: Name = "Bearer"  # noqa: S105 - no password
    """The scheme of the Authorization header that carries it; not documented."""
    auth_id: str
    auth_secret: Secret
    previous_auth_secret: Secret | None = None
    """Taken beside `auth_secret` while a new one is rolled out."""
    auth_scope: str | None = None
    custom_headers: dict[str, str] = field(default_factory=dict)
    token_seconds: Annotated[float, Meta(ge=60)] = 3600.0
    """How long a token of the internal issuer is good. Whether Omilia caches tokens is not documented."""
    token_issuer: Literal["internal", "external"] = "internal"  # noqa: S105 - no password
    token_url: str | None = None
    """External: where Omilia gets its tokens. None: where the issuer's own metadata say."""
    jwks_url: str | None = None
    issuer: str | None = None
    audience: str | None = None
    reconcile_seconds: Positive = 300.0
    max_silence_seconds: Positive | None = None
    """The longest time without a push that is ordinary, for each data type. None: no silence is a loss."""
    lenient_body: bool = True
    """Take bodies without an envelope (an object, an array, lines) and token requests in JSON; count them."""
    audit: Literal["off", "daily"] = "off"
    takeover: bool = False
    delete_on_shutdown: bool = False
    requests_per_minute: Count = 60
    redelivery_seconds: Positive = 900.0
    ingress_prefix: str | None = None
    """Where callbacks and token endpoint are. None: `/omilia/<group>/`."""
    remembered_ids: Count = 1_000_000
    """How many records the connector remembers, so that what comes again is not published again."""
    allow_unknown_data_type: bool = False
    export: ExportConfig = ExportConfig()
    privacy: OmiliaPrivacy = OmiliaPrivacy()

    @property
    def external(self) -> bool:
        """Tell whether somebody else's identity provider issues the tokens that pushes carry."""
        return self.token_issuer == "external"  # noqa: S105 - no password


def audit_type(data_types: Iterable[str]) -> str | None:
    """Give the audit type among these: what records without a `message_type` are of, for nobody documented
    what audit records look like."""
    return next((each for each in data_types if each in AUDIT_TYPES), None)


def check(config: OmiliaConfig, path: str) -> Sequence[Problem]:
    """Find what is wrong with a table whose types are right; `path` is the table's TOML path."""
    found = [Problem(f"{path}.{key}", message) for key, message in _problems(config)]
    for key in ("exports_url", "iam_url"):
        found += check_base_url(getattr(config, key), f"{path}.{key}", config.insecure)
    for key in ("token_url", "jwks_url"):
        url = getattr(config, key)
        if url is not None:
            found += check_base_url(url, f"{path}.{key}", config.insecure)
    if config.external and config.issuer and config.token_url is None:
        problems = check_base_url(config.issuer, f"{path}.issuer", config.insecure)
        found += [Problem(each.path, f"{each.message}; or set token_url") for each in problems]
    return found


def warn(config: OmiliaConfig, path: str) -> Sequence[Problem]:
    """Say what is unwise in such a table."""
    if config.external:
        return []
    return warn_of_short(config.auth_secret, _LONG_ENOUGH, "push", f"{path}.auth_secret")


def _problems(config: OmiliaConfig) -> Iterator[tuple[str, str]]:
    yield from _login_problems(config)
    yield from _type_problems(config)
    yield from _credential_problems(config)
    yield from _header_problems(config.custom_headers)
    yield from _issuer_problems(config)
    yield from _path_problems(config)


def _login_problems(config: OmiliaConfig) -> Iterator[tuple[str, str]]:
    by_password = config.username is not None or config.password is not None
    if config.personal_access_token is not None:
        if by_password:
            yield "personal_access_token", "must stand alone: username and password are there, too"
        elif not config.personal_access_token.reveal():
            yield "personal_access_token", "must not be empty"
        return
    if not by_password:
        yield "username", "is missing: username and password, or personal_access_token"
    elif not config.username:
        yield "username", "is missing: password needs it"
    elif config.password is None or not config.password.reveal():
        yield "password", "is missing: username needs it"


def _type_problems(config: OmiliaConfig) -> Iterator[tuple[str, str]]:
    if not config.data_types:
        yield "data_types", f"must name at least one of {', '.join(KNOWN_TYPES)}"
    for index, name in enumerate(config.data_types):
        place = f"data_types[{index}]"
        if name in config.data_types[:index]:
            yield place, "stands there twice; one subscription for each group and type (Omilia's rule)"
        elif name in AUDIT_TYPES and set(AUDIT_TYPES) & set(config.data_types[:index]):
            yield place, "is the other spelling of one type; name one of audit_events and audit"
        elif not _DATA_TYPE.fullmatch(name):
            yield (
                place,
                "must be of a-z, 0-9 and underscore, 36 at most (streamd's rule: it is part of a name)",
            )
        elif name not in KNOWN_TYPES and not config.allow_unknown_data_type:
            known = ", ".join(KNOWN_TYPES)
            yield place, f"must be one of {known} (Omilia's rule), or set allow_unknown_data_type"


def _credential_problems(config: OmiliaConfig) -> Iterator[tuple[str, str]]:
    secrets: Mapping[str, Secret | None] = {
        "auth_secret": config.auth_secret,
        "previous_auth_secret": config.previous_auth_secret,
    }
    texts = {"auth_id": config.auth_id} | {
        key: secret.reveal() for key, secret in secrets.items() if secret is not None
    }
    for key, text in texts.items():
        if not text:
            yield key, "must not be empty (Omilia's rule)"
        elif not _is_printable(text) or text != text.strip():
            # Stacks differ in how they encode anything else for HTTP Basic.
            yield key, "must be printable ASCII without a blank at either end (streamd's rule)"
    if config.previous_auth_secret == config.auth_secret:
        yield "previous_auth_secret", "is the same as auth_secret"
    scope = config.auth_scope
    if scope is not None:
        if len(scope) > LONGEST_SCOPE or not _is_printable(scope):
            yield "auth_scope", f"must be at most {LONGEST_SCOPE} printable ASCII characters (Omilia's rule)"
        elif scope != " ".join(scope.split()) or not scope or '"' in scope or "\\" in scope:
            yield "auth_scope", 'must be scopes with one blank between, without " and \\ (RFC 6749, 3.3)'


def _header_problems(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if len(headers) > MOST_HEADERS:
        yield "custom_headers", f"must be at most {MOST_HEADERS} (Omilia's rule)"
    seen: set[str] = set()
    for name, value in headers.items():
        place = f"custom_headers.{name}" if _HEADER_NAME.fullmatch(name) else f'custom_headers."{name}"'
        problem = _name_problem(name, seen) or _value_problem(value)
        if problem:
            yield place, problem
        seen.add(name.lower())


def _name_problem(name: str, seen: set[str]) -> str | None:
    lower = name.lower()
    if not lower.startswith("x-"):
        return "its name must start with x- (Omilia's rule)"
    if lower.startswith("x-ocp"):
        return "its name must not start with x-ocp (Omilia's rule)"
    if "/" in name:
        return "its name must not hold a slash: HTTP allows none (streamd's rule; Omilia's would)"
    if not _HEADER_NAME.fullmatch(name):
        return "its name must be of letters, digits and hyphen only (Omilia's rule)"
    if lower == GENERATION_HEADER:
        return "its name is streamd's own (streamd's rule)"
    if lower in seen:
        return "its name stands there twice: HTTP does not tell capitals (streamd's rule)"
    return None


def _value_problem(value: str) -> str | None:
    if len(value) > LONGEST_VALUE:
        return f"must be at most {LONGEST_VALUE} characters (Omilia's rule)"
    if not _is_printable(value):
        return "must be printable ASCII (Omilia's rule)"
    if not value or value != value.strip():
        return "must not be empty nor have a blank at either end: HTTP strips it (streamd's rule)"
    return None


def _issuer_problems(config: OmiliaConfig) -> Iterator[tuple[str, str]]:
    external = config.external
    for key in ("token_url", "jwks_url", "issuer", "audience"):
        value = getattr(config, key)
        if external and not value and key != "token_url":
            yield key, 'is missing: token_issuer "external" needs it'
        if not external and value is not None:
            yield key, 'has no use: token_issuer is "internal"'
    if external and config.previous_auth_secret is not None:
        yield "previous_auth_secret", 'has no use: token_issuer is "external"'


def _path_problems(config: OmiliaConfig) -> Iterator[tuple[str, str]]:
    if config.ingress_prefix is not None and not _PREFIX.fullmatch(config.ingress_prefix):
        yield "ingress_prefix", "must begin and end with a slash, such as /omilia/emea/"
    elif config.ingress_prefix is None and not _GROUP.fullmatch(config.group):
        yield "group", "must be of letters, digits and _ . @ - (streamd's rule), or set ingress_prefix"
    if config.token_seconds > 86400:
        yield "token_seconds", "must be at most 86400: tokens cannot be taken back"


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()
