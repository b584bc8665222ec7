"""Kafka's error codes that aiokafka 0.14 takes for "unknown" (LIBRARIES.md, 1.2, trap 10), and one of ours.

Source: https://kafka.apache.org/protocol#protocol_error_codes.
"""

from __future__ import annotations

from aiokafka.errors import BrokerResponseError, KafkaError, kafka_errors


class Abandoned(KafkaError):  # type: ignore[misc]
    """The caller of a batch that was not sent has gone."""


class InvalidRecordError(BrokerResponseError):  # type: ignore[misc]
    errno = 87
    message = "INVALID_RECORD"


class ProducerFencedError(BrokerResponseError):  # type: ignore[misc]
    errno = 90
    message = "PRODUCER_FENCED"


class FencedLeaderEpochError(BrokerResponseError):  # type: ignore[misc]
    errno = 74
    message = "FENCED_LEADER_EPOCH"
    retriable = True
    invalid_metadata = True


class UnknownLeaderEpochError(BrokerResponseError):  # type: ignore[misc]
    errno = 75
    message = "UNKNOWN_LEADER_EPOCH"
    retriable = True
    invalid_metadata = True


class UnsupportedCompressionTypeError(BrokerResponseError):  # type: ignore[misc]
    errno = 76
    message = "UNSUPPORTED_COMPRESSION_TYPE"


class ThrottlingQuotaExceededError(BrokerResponseError):  # type: ignore[misc]
    errno = 89
    message = "THROTTLING_QUOTA_EXCEEDED"
    retriable = True


class NetworkExceptionError(BrokerResponseError):  # type: ignore[misc]
    errno = 13
    message = "NETWORK_EXCEPTION"
    retriable = True
    invalid_metadata = True


UNKNOWN_TO_AIOKAFKA = (
    NetworkExceptionError,
    FencedLeaderEpochError,
    UnknownLeaderEpochError,
    UnsupportedCompressionTypeError,
    InvalidRecordError,
    ThrottlingQuotaExceededError,
    ProducerFencedError,
)


def teach() -> None:
    """Have aiokafka give these classes for their codes."""
    for known in UNKNOWN_TO_AIOKAFKA:
        kafka_errors[known.errno] = known
