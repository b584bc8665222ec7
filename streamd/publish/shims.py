"""Every private part of aiokafka 0.14.0 that is used, replaced or read, each with its reason.

Numbers are those of the traps (LIBRARIES.md, section 1.2). aiokafka is pinned exactly;
tests/publish/test_shims.py fails when one of these parts moves.

Deviations from aiokafka's ways, and why:
- A failed batch is never tried again inside aiokafka (`_can_retry`): one retry path, ours, which knows
  whose fault an error is, can wait, be cancelled and say so in the status.
- A refused batch gives its sequence numbers back (trap 1), so that neither a refusal nor a retry costs the
  producer its identity: the broker still recognises a batch whose acknowledgement was lost.
- A batch waits for a leader without expiring (trap 2), and is withdrawn instead.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

import aiokafka.admin.client
import aiokafka.client
import aiokafka.conn
import aiokafka.errors
import aiokafka.producer.sender
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    ProducerClosed,
    SaslAuthenticationFailed,
)

from streamd.model import Record
from streamd.publish import codes

Producer = Any  # aiokafka has no type information
Builder = Any  # its BatchBuilder, good for one attempt (trap 7)
Batch = Any  # its MessageBatch
Admin = Any  # its AIOKafkaAdminClient
Sequences = dict[Any, int]  # next sequence number by TopicPartition

SEQUENCE_MASK = 0x7FFF_FFFF
_CREATE_TOPICS = 19  # an api key

# What authenticators and decoders raise on a peer's nonsense; kills sender and metadata task (trap 6).
FOREIGN = (
    ValueError,
    LookupError,
    AssertionError,
    TypeError,
    ArithmeticError,
    NotImplementedError,
    RuntimeError,
)


class ConnectionWatch(Protocol):
    """Who wants to know of each connection that a producer opens; found through `connection_watch`."""

    def opening(self, host: str, port: int) -> None:
        """Raise KafkaConnectionError where no connection may be tried now."""

    def failed(self, host: str, port: int, error: BaseException) -> None: ...

    def opened(self, connection: Any) -> bool:
        """Take note; False: nobody wants it any more."""
        ...


connection_watch: ContextVar[ConnectionWatch | None] = ContextVar("connection_watch", default=None)

_create_conn = aiokafka.conn.create_conn
_oauth_step = aiokafka.conn.OAuthAuthenticator.step


def install() -> None:
    """Put the process-wide shims in place; again is harmless."""
    codes.teach()
    ask = functools.partial(aiokafka.protocol.metadata.MetadataRequest, allow_auto_topic_creation=False)
    aiokafka.client.MetadataRequest = ask  # 1.1, "Missing topic": ours must never create one
    aiokafka.admin.client.MetadataRequest = ask
    aiokafka.client.create_conn = open_connection
    aiokafka.conn.OAuthAuthenticator.step = _step_that_sees_refusals
    aiokafka.producer.sender.SendProduceReqHandler._can_retry = lambda handler, error, batch: False
    _quieten()


async def open_connection(host: str, port: int, **arguments: Any) -> Any:
    """Do what `create_conn` does; report it, and let nothing through but KafkaError and OSError (trap 6)."""
    watch = connection_watch.get()
    if watch is None:
        return await _create_conn(host, port, **arguments)
    watch.opening(host, port)
    try:
        connection = await _create_conn(host, port, **arguments)
    except (KafkaError, OSError) as error:
        watch.failed(host, port, error)
        raise
    except FOREIGN as error:
        watch.failed(host, port, error)
        raise KafkaConnectionError(f"{type(error).__name__} while connecting to {host}:{port}") from error
    if not watch.opened(connection):
        cut(connection)
        raise KafkaConnectionError(f"{host}:{port} is not wanted any more")
    return connection


def cut(connection: Any) -> None:
    """Close a connection now: `close` waits until a peer that may be frozen has taken what was written."""
    writer = connection._writer
    connection.close()
    if writer is not None:
        writer.transport.abort()


async def _step_that_sees_refusals(authenticator: Any, payload: bytes | None) -> Any:
    """Raise where the broker answers a token with words: it refused it, without an error code (trap 16)."""
    if payload and authenticator._token_sent:
        raise SaslAuthenticationFailed(f"OAUTHBEARER token refused: {payload[:200].decode(errors='replace')}")
    return await _oauth_step(authenticator, payload)


class _OncePerMinute(logging.Filter):
    """Let one record a minute through of each line of aiokafka's source: 60 a second come (trap 11)."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place, now = (record.pathname, record.lineno), time.monotonic()
        if now - self._last.get(place, -math.inf) < 60:
            return False
        self._last[place] = now
        return True


_once_per_minute = _OncePerMinute()


def _quieten() -> None:
    """Pin aiokafka's loggers at WARNING, DEBUG prints passwords (trap 12), and slow them down (trap 11)."""
    for name in ["aiokafka", *logging.root.manager.loggerDict]:
        if name.partition(".")[0] == "aiokafka":
            logger = logging.getLogger(name)
            logger.setLevel(logging.WARNING)
            logger.addFilter(_once_per_minute)


def prepare(producer: Producer, metadata_interval: float, on_metadata: Callable[[bool], None]) -> None:
    """Shim one producer before its start.

    Metadata is asked for at most each `metadata_interval` seconds (trap 3), and `on_metadata` hears of each
    result; batches do not expire (trap 2); `cluster_of` can tell which cluster answers.
    """
    cluster = producer.client.cluster
    take = cluster.update_metadata

    def take_with_identity(metadata: Any) -> None:
        cluster.cluster_id = getattr(metadata, "cluster_id", None)  # from Metadata version 2
        take(metadata)

    cluster.update_metadata = take_with_identity
    producer._message_accumulator._batch_ttl = math.inf
    client = producer.client
    update = client._metadata_update
    last = -math.inf

    async def update_at_an_interval(cluster: Any, topics: Any) -> bool:
        nonlocal last
        await asyncio.sleep(max(0.0, last + metadata_interval - time.monotonic()))
        last = time.monotonic()
        updated: bool = await update(cluster, topics)
        on_metadata(updated)
        return updated

    client._metadata_update = update_at_an_interval


def tasks(producer: Producer) -> tuple[asyncio.Task[None], asyncio.Task[None]]:
    """Give the tasks of a started producer: sender and metadata. Either may die alone (trap 6)."""
    return producer._sender.sender_task, producer.client._sync_task


def sequences(producer: Producer) -> Sequences:
    """Give the live table of next sequence numbers; the same object for as long as the producer id is."""
    table: Sequences = producer._txn_manager._sequence_numbers
    return table


def cluster_of(producer: Producer) -> str | None:
    """Give the id of the cluster that answered last."""
    return getattr(producer.client.cluster, "cluster_id", None)


async def start(producer: Producer, former: Producer | None) -> None:
    """Start a producer, under the id and sequence numbers of a former one of the same cluster.

    So the broker recognises what it has already, even when it was frozen with our requests in its hands. On
    another cluster the same id may be somebody else's: a broker could take our records for theirs, and drop
    them.
    """
    await producer.client.bootstrap()
    if former is not None and cluster_of(producer) == cluster_of(former):
        producer._txn_manager._pid_and_epoch = former._txn_manager._pid_and_epoch
        producer._txn_manager._sequence_numbers = former._txn_manager._sequence_numbers
    await producer._sender.start()


def fill(builder: Builder, records: Sequence[Record], start: int, end: int) -> int:
    """Append records until the batch is full; give the index of the first that is not in it.

    `BatchBuilder.append` does the same around the compiled builder at 1.5 times the cost.
    """
    append = builder._builder.append
    for position in range(start, end):
        record = records[position]
        added = append(position - start, record.timestamp, record.key, record.value, list(record.headers))
        if added is None:
            end = position
            break
    builder._relative_offset = end - start
    builder.close()
    return end


def submit(producer: Producer, place: Any, builder: Any) -> Batch:
    """Queue a batch for the TopicPartition `place`, which has no other batch; give its MessageBatch.

    What `send_batch` does beyond that waits in ways that we cannot bound (traps 2, 8). Raises KafkaError
    when the producer is torn down or its sender dead.
    """
    accumulator = producer._message_accumulator
    if producer._closed:
        raise ProducerClosed()
    if accumulator._exception is not None:
        raise KafkaError("the sender is dead") from accumulator._exception
    numbers = producer._txn_manager._sequence_numbers
    numbers[place] &= SEQUENCE_MASK  # aiokafka wraps to negative numbers, which the broker refuses as records
    batch = accumulator._append_batch(builder, place)
    for future in batch.future, batch._drain_waiter:
        future.add_done_callback(_look_at)
    return batch


def _look_at(future: asyncio.Future[Any]) -> None:
    """Keep asyncio from complaining of an exception that nobody waits for (trap 13)."""
    if not future.cancelled():
        future.exception()


def is_sent(batch: Batch) -> bool:
    """Tell whether the batch has been handed to a connection, or was about to be."""
    return bool(batch.retry_count)


def withdraw(producer: Producer, batch: Batch, error: KafkaError) -> None:
    """Take a batch back that is not sent; its future fails with `error`."""
    queues = producer._message_accumulator._batches
    queues[batch.tp].remove(batch)
    if not queues[batch.tp]:
        del queues[batch.tp]
    batch.failure(error)


async def takes_create_topics(admin: Admin) -> bool:
    """Tell whether Kafka takes the request at all, as far as can be known: stand-ins for it do not."""
    node = admin._client.get_random_node()
    if node is None or not await admin._client.ready(node):
        return True
    return any(_CREATE_TOPICS in connection._versions for connection in admin._client._conns.values())


async def mention(admin: Admin, topics: Sequence[str]) -> None:
    """Ask for topics in the way in which a broker may make them by itself (auto.create.topics.enable)."""
    await admin._send_request(aiokafka.admin.client.MetadataRequest(topics, allow_auto_topic_creation=True))


def has_controller(admin: Admin) -> bool:
    """Tell whether the admin client knows where to send what only a controller takes."""
    return admin._client.cluster.controller is not None


async def end_within(end: Coroutine[Any, Any, None], seconds: float) -> None:
    """Let a client end, started or not, within `seconds`."""
    closing = asyncio.ensure_future(end)
    await asyncio.wait([closing], timeout=seconds)
    closing.cancel()


async def tear_down(producer: Producer, seconds: float) -> None:
    """End a producer within about `seconds`, whatever state it is in; its unfinished batches fail.

    `stop()` waits for ever while brokers are down (trap 4).
    """
    producer._closed = True  # or its __del__ complains
    client, sender = producer.client, producer._sender.sender_task
    for connection in list(client._conns.values()):
        connection.close()  # fails the requests that the sender waits for, so that it can end
    for _ in range(2):  # the first cancel makes it wait for its requests, the second ends that, too
        if sender is not None and not sender.done():
            sender.cancel()
            await asyncio.wait([sender], timeout=seconds / 4)
    closing = asyncio.ensure_future(client.close())
    await asyncio.wait([closing], timeout=seconds / 2)
    if closing.done():
        closing.exception()  # that of a metadata task which died long ago
    closing.cancel()
    producer._message_accumulator.fail_all(ProducerClosed())
