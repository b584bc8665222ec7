"""Keys go where Kafka's own clients would put them."""

from __future__ import annotations

import aiokafka.partitioner
from hypothesis import given
from hypothesis import strategies as st

from streamd.publish.partitioner import Partitioner, murmur2


@given(st.binary(max_size=300))
def test_a_key_has_the_hash_that_other_clients_give_it(key: bytes) -> None:
    assert murmur2(key) == aiokafka.partitioner.murmur2(key) & 0xFFFFFFFF


@given(st.binary(max_size=40), st.integers(1, 100))
def test_a_key_goes_to_the_partition_of_kafkas_default_partitioner(key: bytes, partitions: int) -> None:
    choose = aiokafka.partitioner.DefaultPartitioner()
    placed = [Partitioner().partition(key, partitions)] * 2
    assert placed == [choose(key, list(range(partitions)), list(range(partitions)))] * 2
