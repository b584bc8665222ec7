"""The one table that says what each Kafka error means for the batch that got it.

Codes: https://kafka.apache.org/protocol#protocol_error_codes. What is not listed is the topic's or the
partition's: it waits and is tried again, and nothing is ever given up because a code is unknown.
"""

from __future__ import annotations

from asyncio import CancelledError
from enum import Enum, auto

import aiokafka.errors as kafka

from streamd.publish import codes


class Verdict(Enum):
    """Whose fault an error is, and so what is done."""

    RECORD = auto()  # bisect the batch down to the record; that one is refused, the others go on
    PARTITION = auto()  # the topic's or partition's: wait and try again, the other partitions go on
    EVERYONE = auto()  # the connection's, the cluster's or the principal's: wait, all of them
    INTERRUPTED = auto()  # our own doing (a producer torn down): try again at once
    POISONED = auto()  # the producer's identity no longer fits the broker's: a new producer id


_TABLE: dict[type[BaseException], Verdict] = {
    kafka.MessageSizeTooLargeError: Verdict.RECORD,  # 10, max.message.bytes; the compressed size counts
    kafka.RecordListTooLargeError: Verdict.RECORD,  # 18, larger than a log segment
    # 32, outside message.timestamp.before/after.max.ms: our clock, the broker's or the topic's setting is
    # wrong, and would be for every record: to wait loses none.
    kafka.InvalidTimestampError: Verdict.PARTITION,
    codes.InvalidRecordError: Verdict.RECORD,  # 87
    kafka.OutOfOrderSequenceNumber: Verdict.POISONED,  # 45
    kafka.InvalidProducerEpoch: Verdict.POISONED,  # 47
    kafka.ProducerFenced: Verdict.POISONED,  # what aiokafka makes of 47
    codes.ProducerFencedError: Verdict.POISONED,  # 90
    kafka.InvalidProducerIdMapping: Verdict.POISONED,  # 49
    kafka.UnknownProducerId: Verdict.POISONED,  # 59
    kafka.ProducerClosed: Verdict.INTERRUPTED,
    kafka.InvalidRequiredAcksError: Verdict.EVERYONE,  # 21
    kafka.ClusterAuthorizationFailedError: Verdict.EVERYONE,  # 31
    kafka.UnsupportedSaslMechanismError: Verdict.EVERYONE,  # 33
    kafka.IllegalSaslStateError: Verdict.EVERYONE,  # 34
    kafka.UnsupportedVersionError: Verdict.EVERYONE,  # 35
    kafka.SaslAuthenticationFailed: Verdict.EVERYONE,  # 58
    kafka.AuthenticationFailedError: Verdict.EVERYONE,
    kafka.AuthenticationMethodNotSupported: Verdict.EVERYONE,
    kafka.IncompatibleBrokerVersion: Verdict.EVERYONE,
    kafka.KafkaError: Verdict.EVERYONE,  # bare: "Unexpected error during batch delivery", the sender is dead
}

# Errors that waiting does not cure but a person does: for these `check --online` says refused.
CREDENTIALS: tuple[type[BaseException], ...] = (
    kafka.SaslAuthenticationFailed,
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.UnsupportedSaslMechanismError,
    kafka.IllegalSaslStateError,
    kafka.ClusterAuthorizationFailedError,
    kafka.TopicAuthorizationFailedError,
)


def judge(error: BaseException) -> Verdict:
    """Give the verdict on an error that a batch failed with."""
    return _TABLE.get(type(error), Verdict.PARTITION)


def is_brief(error: BaseException) -> bool:
    """Tell whether the error usually passes by itself within seconds (a new leader, a lost connection)."""
    return bool(getattr(error, "retriable", False))


def describe(error: BaseException) -> str:
    """Give the error's text with its kind and cause; Kafka's errors carry no credentials."""
    kind = error.message if isinstance(error, kafka.BrokerResponseError) else type(error).__name__
    said = " ".join(map(str, error.args)) if isinstance(error, kafka.KafkaError) else str(error)
    text = f"{kind}: {said}".removesuffix(": ")
    cause = error.__cause__
    return (
        text
        if cause is None or isinstance(cause, CancelledError)
        else f"{text}, because of {describe(cause)}"
    )
