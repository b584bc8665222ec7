"""The configuration as types: what an operator may write, with its defaults (INTERFACE.md, "Configuration").

Reading files, secrets and the checks that need more than one key are in `config/file.py`; a connector's own
keys are declared in its own folder by extending `ConnectorConfig`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Bytes = Annotated[int, Meta(ge=1)]


class Secret(Struct, frozen=True, repr_omit_defaults=True):
    """A string that prints as stars everywhere; `reveal()` is the only way to the text."""

    _text: str

    def reveal(self) -> str:
        """Give the text, for the one place that sends it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class TopicConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Overrides for one topic, named without the prefix."""

    partitions: Count | None = None
    replication_factor: int | None = None
    config: dict[str, str] = field(default_factory=dict)


class KafkaConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The `[kafka]` table."""

    bootstrap_servers: list[str]
    topic_prefix: str = "contact-center"
    client_id: str = "streamd"
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = "zstd"
    cloudevents_mode: Literal["structured", "binary"] = "structured"
    create_topics: bool = True
    partitions: Count = 6
    replication_factor: int = -1
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    sasl_username: str | None = None
    sasl_password: Secret | None = None
    sasl_oauth_token_url: str | None = None
    sasl_oauth_client_id: str | None = None
    sasl_oauth_client_secret: Secret | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    topics: dict[str, TopicConfig] = field(default_factory=dict)


class SpoolConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The `[spool]` table."""

    directory: str | None = None
    max_bytes: Bytes = 2 * 1024**3


class TlsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A server certificate and its key, both PEM files."""

    certificate_file: str
    key_file: str


class IngressConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The `[ingress]` table: where vendors push to us."""

    listen: str
    public_url: str
    tls: TlsConfig | None = None
    max_body_bytes: Bytes = 32 * 1024**2
    max_connections: Count = 256
    request_timeout_seconds: Positive = 30.0


class AdminConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The `[admin]` table. `token` is needed where the address is beyond loopback."""

    listen: str = "127.0.0.1:9640"
    token: Secret | None = None


class Rules(Struct, frozen=True):
    """Field paths in the vendor's spelling, by what is done to the fields there."""

    drop: Sequence[str] = ()
    mask: Sequence[str] = ()
    hash: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.drop or self.mask or self.hash)


class PrivacyConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What never leaves the building: field paths in the vendor's spelling."""

    drop: list[str] = field(default_factory=list)
    mask: list[str] = field(default_factory=list)
    hash: list[str] = field(default_factory=list)
    hash_key: Secret | None = None
    dead_letter: Literal["withheld", "full"] = "withheld"

    @property
    def rules_set(self) -> Rules:
        """Give the operator's rules."""
        return Rules(self.drop, self.mask, self.hash)

    def unnamed(self, paths: Iterable[str]) -> list[str]:
        """Give those of a vendor's paths for which the operator has no rule."""
        named = {*self.drop, *self.mask, *self.hash}
        return [path for path in paths if path not in named]

    @property
    def withholds(self) -> bool:
        """Tell whether bytes that could not be decoded, to which no rule can be applied, stay here."""
        return bool(self.all_rules()) and self.dead_letter != "full"

    def by_default(self) -> Rules:
        """Give the vendor's own rules: what is done to fields that nobody has named."""
        return Rules()

    def all_rules(self) -> Rules:
        """Give the operator's rules and the vendor's own."""
        vendors = self.by_default()
        return Rules((*self.drop, *vendors.drop), (*self.mask, *vendors.mask), (*self.hash, *vendors.hash))


class ConnectorConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of every connector; a vendor's config Struct extends it."""

    type: str
    enabled: bool = True
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    proxy: str | None = None
    insecure: bool = False
    request_timeout_seconds: Positive = 10.0
    retry_min_seconds: Positive = 0.5
    retry_max_seconds: Positive = 30.0
    spool_bytes: Bytes | None = None
    privacy: PrivacyConfig = PrivacyConfig()


class Config(Struct, frozen=True):
    """A whole, valid configuration; `connectors` has the disabled ones too."""

    kafka: KafkaConfig
    spool: SpoolConfig
    ingress: IngressConfig | None
    admin: AdminConfig
    connectors: dict[str, ConnectorConfig]
