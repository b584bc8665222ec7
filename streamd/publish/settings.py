"""The numbers of the Kafka side that no operator turns; tests do."""

from __future__ import annotations

from msgspec import Struct


class Settings(Struct, frozen=True):
    """Times in seconds, sizes in bytes; why each is as it is: LIBRARIES.md, section 1."""

    batch_bytes: int = 256 * 1024  # uncompressed
    record_limit_bytes: int = 64 * 1024**2  # a request above 100 MiB would be tried for ever (trap 17)
    large_bytes: int = 1024**2  # of batches above this only one is on its way at a time, for the same reason
    request_timeout: float = 10.0  # a hung broker costs its partitions up to twice this
    retry_backoff: float = 0.5
    start_timeout: float = 30.0
    metadata_interval: float = 0.25  # at most so often (trap 3)
    poll: float = 0.5  # how often metadata is asked for while somebody waits for a change
    metadata_age: float = 60.0  # how often otherwise: new partitions are seen so late
    no_progress: float = 30.0  # without acknowledgement or metadata: start again from bootstrap_servers
    brief_retry_max: float = 1.0
    slow_retry_max: float = 10.0
    stuck_after: float = 1.0  # a partition that waits for less is not reported
    credentials_retry_max: float = 60.0
    rebuild_pause: float = 0.5  # before the third producer in a row: all partitions wait for it
    park_max: float = 60.0  # a partition that not even a new producer helps
    healthy: float = 60.0  # a producer that lived so long makes its successor start without delay
    teardown: float = 2.0
