"""The ACLs that the daemon's principal needs, and no more, as options of `kafka-acls.sh`."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator

from streamd.config import KafkaConfig
from streamd.config.certificates import subject

_ANONYMOUS = "ANONYMOUS"


def options(kafka: KafkaConfig, topics: Collection[str]) -> Iterator[str]:
    """Give one line of options for each ACL; `topics` are whole names.

    Idempotent producing needs nothing beyond Write (Kafka since 2.8). Create is needed only where the
    daemon makes its topics, and only on its own prefix.
    """
    who = f"--add --allow-principal {shlex.quote(f'User:{principal(kafka)}')}"
    for topic in sorted(topics):
        yield f"{who} --operation Write --operation Describe --topic {topic}"
    if kafka.create_topics:
        yield f"{who} --operation Create --topic {kafka.topic_prefix}. --resource-pattern-type prefixed"


def principal(kafka: KafkaConfig) -> str:
    """Give the name under which Kafka knows us, as long as it has no mapping rules of its own.

    That is the SASL user, for OAUTHBEARER the client (the token's `sub`), with mutual TLS the
    certificate's subject, and ANONYMOUS without any of them.
    """
    if kafka.security_protocol.startswith("SASL_"):
        return kafka.sasl_username or kafka.sasl_oauth_client_id or _ANONYMOUS
    if kafka.security_protocol == "SSL" and kafka.certificate_file is not None:
        return subject(kafka.certificate_file, kafka.key_file)
    return _ANONYMOUS
