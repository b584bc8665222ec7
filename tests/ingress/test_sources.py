"""What is promised of allow-lists of addresses."""

from __future__ import annotations

import pytest

from streamd.ingress.sources import Sources


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("192.0.3.7", False),
        ("198.51.100.9", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("fe80::1%eth0", False),
        ("unix", False),
        ("gone", False),
        ("", False),
    ],
)
def test_only_addresses_of_the_list_are_in_it(peer, allowed):
    assert (peer in Sources(["192.0.2.0/24", "198.51.100.9", "2001:db8::/32"])) is allowed


def test_an_empty_list_allows_everyone():
    assert "203.0.113.1" in Sources([])


@pytest.mark.parametrize("network", ["example.net", "192.0.2.1/24", "192.0.2.0/33", ""])
def test_what_is_no_network_is_a_value_error(network):
    with pytest.raises(ValueError):
        Sources([network])
