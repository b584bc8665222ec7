"""Run a Kafka inside this process: librdkafka's mock cluster, from the confluent-kafka wheel (extra `demo`).

It speaks the real protocol on real sockets, and its brokers can be made to fail. What it lacks: it keeps the
last 5 MiB of a partition (read along), does not compact, and takes no admin request (CreateTopics). Topics
are made here, or by a client's metadata request that allows it: then with 4 partitions, which cannot be
changed. Source: librdkafka, src/rdkafka_mock.h and rdkafka_mock.c.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_int16, c_int32, c_int64, c_size_t, c_void_p
from typing import Any, Final

from msgspec import Struct

from streamd.errors import StreamdError

ALL_BROKERS: Final = -1
NO_LEADER: Final = -1
DISCONNECT: Final = -195  # as an error code to push: the broker hangs up instead of answering

PRODUCE: Final = 0  # the api keys of the Kafka protocol that errors are pushed for most
FETCH: Final = 1
METADATA: Final = 3
INIT_PRODUCER_ID: Final = 22

_PRODUCER: Final = 0
_ERROR_TEXT_BYTES: Final = 512

_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "rd_kafka_conf_new": (c_void_p, []),
    "rd_kafka_conf_set": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "rd_kafka_new": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
    "rd_kafka_destroy": (None, [c_void_p]),
    "rd_kafka_err2name": (c_char_p, [c_int]),
    "rd_kafka_mock_cluster_new": (c_void_p, [c_void_p, c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (c_char_p, [c_void_p]),
    "rd_kafka_mock_topic_create": (c_int, [c_void_p, c_char_p, c_int, c_int]),
    "rd_kafka_mock_topic_set_error": (None, [c_void_p, c_char_p, c_int]),
    "rd_kafka_mock_partition_set_leader": (c_int, [c_void_p, c_char_p, c_int32, c_int32]),
    "rd_kafka_mock_broker_set_down": (c_int, [c_void_p, c_int32]),
    "rd_kafka_mock_broker_set_up": (c_int, [c_void_p, c_int32]),
    "rd_kafka_mock_broker_set_rtt": (c_int, [c_void_p, c_int32, c_int]),
    "rd_kafka_mock_push_request_errors_array": (None, [c_void_p, c_int16, c_size_t, POINTER(c_int)]),
    "rd_kafka_mock_start_request_tracking": (None, [c_void_p]),
    "rd_kafka_mock_clear_requests": (None, [c_void_p]),
    "rd_kafka_mock_get_requests": (POINTER(c_void_p), [c_void_p, POINTER(c_size_t)]),
    "rd_kafka_mock_request_destroy_array": (None, [POINTER(c_void_p), c_size_t]),
    "rd_kafka_mock_request_id": (c_int32, [c_void_p]),
    "rd_kafka_mock_request_api_key": (c_int16, [c_void_p]),
    "rd_kafka_mock_request_timestamp": (c_int64, [c_void_p]),
}


class EmbeddedKafkaError(StreamdError):
    """The embedded Kafka cannot be had here, or refuses a call."""


class Request(Struct, frozen=True):
    """A request that a client sent: to which broker, for what, and when (microseconds, monotonic)."""

    broker: int
    api_key: int
    timestamp: int


class EmbeddedKafka:
    """A running mock cluster; its brokers are numbered from 1. Every call takes effect before it returns."""

    def __init__(self, library: ctypes.CDLL, cluster: int) -> None:
        self._library = library
        self._cluster = cluster
        self.bootstrap_servers: list[str] = (
            library.rd_kafka_mock_cluster_bootstraps(cluster).decode().split(",")
        )

    def create_topic(self, name: str, partitions: int, replication: int = 1) -> None:
        """Create a topic; EmbeddedKafkaError where it exists already."""
        if partitions < 1:
            raise EmbeddedKafkaError(
                f"embedded Kafka: a topic of {partitions} partitions"
            )  # it would make it
        self._call("topic_create", name.encode(), partitions, replication)

    def topic_error(self, name: str, code: int) -> None:
        """Answer metadata requests for a topic with an error code of the Kafka protocol; 0 is none again."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, name.encode(), code)

    def set_leader(self, topic: str, partition: int, broker: int) -> None:
        """Move the leadership of a partition; NO_LEADER leaves it without one."""
        self._call("partition_set_leader", topic.encode(), partition, broker)

    def broker_down(self, broker: int = ALL_BROKERS) -> None:
        """Cut the broker's connections and refuse new ones; its partitions keep it as their leader."""
        self._call("broker_set_down", broker)

    def broker_up(self, broker: int = ALL_BROKERS) -> None:
        self._call("broker_set_up", broker)

    def set_rtt(self, milliseconds: int, broker: int = ALL_BROKERS) -> None:
        """Delay every answer by a round-trip time."""
        self._call("broker_set_rtt", broker, milliseconds)

    def push_errors(self, api_key: int, codes: Sequence[int]) -> None:
        """Answer the next requests of a kind with these error codes, one each; DISCONNECT hangs up."""
        array = (c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, api_key, len(codes), array)

    def track_requests(self) -> None:
        """Begin to note the requests of clients, afresh."""
        self._library.rd_kafka_mock_clear_requests(self._cluster)
        self._library.rd_kafka_mock_start_request_tracking(self._cluster)

    def requests(self) -> list[Request]:
        """Return the requests noted since `track_requests`, in order."""
        count = c_size_t()
        array = self._library.rd_kafka_mock_get_requests(self._cluster, ctypes.byref(count))
        noted = [self._request(array[n]) for n in range(count.value)]
        self._library.rd_kafka_mock_request_destroy_array(array, count)
        return noted

    def _request(self, noted: int) -> Request:
        library = self._library
        return Request(
            broker=library.rd_kafka_mock_request_id(noted),
            api_key=library.rd_kafka_mock_request_api_key(noted),
            timestamp=library.rd_kafka_mock_request_timestamp(noted),
        )

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._library, f"rd_kafka_mock_{name}")(self._cluster, *arguments)
        if code:
            said = self._library.rd_kafka_err2name(code).decode()
            raise EmbeddedKafkaError(f"embedded Kafka: {name} {arguments} refused: {said}")


@contextmanager
def open_embedded_kafka(brokers: int = 1) -> Iterator[EmbeddedKafka]:
    """Open a mock cluster on ports of its own choice; all it held is gone when it is closed.

    It runs in a thread of librdkafka. Raises EmbeddedKafkaError where the wheel is not installed.
    """
    library = _load()
    handle = _new_handle(library)
    try:
        cluster = library.rd_kafka_mock_cluster_new(handle, brokers)
        if not cluster:
            raise EmbeddedKafkaError(f"librdkafka could not open a mock cluster of {brokers} brokers")
        try:
            yield EmbeddedKafka(library, cluster)
        finally:
            library.rd_kafka_mock_cluster_destroy(cluster)
    finally:
        library.rd_kafka_destroy(handle)


def _load() -> ctypes.CDLL:
    """Return librdkafka with the signatures declared."""
    try:
        extension = importlib.import_module("confluent_kafka.cimpl")
    except ImportError as missing:
        raise EmbeddedKafkaError(
            "the embedded Kafka is not installed: pip install 'streamd[demo]'"
        ) from missing
    # The extension module is linked to the bundled library: its handle finds the library's symbols, too.
    library = ctypes.CDLL(str(extension.__file__))
    for name, (result, arguments) in _SIGNATURES.items():
        try:
            function = getattr(library, name)
        except AttributeError as missing:
            raise EmbeddedKafkaError(
                f"this confluent-kafka has no mock cluster we know: no {name}"
            ) from missing
        function.restype, function.argtypes = result, arguments
    return library


def _new_handle(library: ctypes.CDLL) -> int:
    """Return the client instance that librdkafka wants to hang a mock cluster on; it never connects."""
    text = ctypes.create_string_buffer(_ERROR_TEXT_BYTES)
    configuration = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(configuration, b"log_level", b"0", text, len(text))
    handle = library.rd_kafka_new(_PRODUCER, configuration, text, len(text))
    if not handle:
        raise EmbeddedKafkaError(f"librdkafka: {text.value.decode()}")
    return int(handle)
