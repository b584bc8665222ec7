"""Allow-lists of client addresses, for what a vendor cannot authenticate otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


class Sources:
    """Networks that requests may come from: `peer in sources`. An empty list allows everyone."""

    def __init__(self, networks: Sequence[str]) -> None:
        """Read addresses and networks in CIDR form; raises ValueError for what is neither."""
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(network) for network in networks]

    def __contains__(self, peer: object) -> bool:
        """Tell whether the address `Request.peer` is among them."""
        if not self._networks:
            return True
        try:
            address = ip_address(str(peer))
        except ValueError:
            return False  # the client is gone, or came by a unix socket
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)
