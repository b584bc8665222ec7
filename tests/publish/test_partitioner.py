"""Keys go where Kafka's own clients would put them."""

from __future__ import annotations

import tracemalloc

import aiokafka.partitioner
from hypothesis import given
from hypothesis import strategies as st

from streamd.publish.partitioner import Partitioner, murmur2


def place(key: bytes, partitions: int, partitioner: Partitioner) -> int:
    partitioner.serve(partitions)
    return partitioner[key] % partitions


@given(st.binary(max_size=300))
def test_a_key_has_the_hash_that_other_clients_give_it(key: bytes) -> None:
    assert murmur2(key) == aiokafka.partitioner.murmur2(key) & 0xFFFFFFFF


@given(st.binary(max_size=40), st.integers(1, 100))
def test_a_key_goes_to_the_partition_of_kafkas_default_partitioner(key: bytes, partitions: int) -> None:
    choose = aiokafka.partitioner.DefaultPartitioner()
    placed = place(key, partitions, Partitioner())
    assert placed == choose(key, list(range(partitions)), list(range(partitions)))


@given(st.binary(max_size=40), st.lists(st.integers(1, 100), min_size=2))
def test_topics_of_different_partition_counts_do_not_disturb_each_other(
    key: bytes, counts: list[int]
) -> None:
    partitioner = Partitioner()
    placed = [place(key, partitions, partitioner) for partitions in counts]
    assert placed == [place(key, partitions, Partitioner()) for partitions in counts]


def test_keys_that_never_come_again_take_a_bounded_memory() -> None:
    partitioner = Partitioner(remembered=100)
    tracemalloc.start()
    try:
        for number in range(400):
            place(b"%0250d" % number, 6, partitioner)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 2 * 100 * 250
