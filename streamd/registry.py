"""Find the vendors by walking `streamd.connectors`: a folder there is all that a new vendor needs."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, MutableMapping
from functools import cache
from typing import Any

import streamd.connectors
from streamd.connector import ConnectorType


class Vendors(MutableMapping[str, ConnectorType[Any]]):
    """The vendors by name, which is their folder's, in name order.

    A folder is imported when its vendor is asked for: what the five stand on takes 18 MiB, and most daemons
    have one. A package without a `CONNECTOR` is a mistake in the program, so its AttributeError passes.
    """

    def __init__(self, names: Iterator[str]) -> None:
        self._types: dict[str, ConnectorType[Any] | None] = dict.fromkeys(sorted(names))

    def __getitem__(self, name: str) -> ConnectorType[Any]:
        vendor = self._types[name]
        if vendor is None:
            package = importlib.import_module(f"{streamd.connectors.__name__}.{name}")
            vendor = self._types[name] = package.CONNECTOR
        return vendor

    def __setitem__(self, name: str, vendor: ConnectorType[Any]) -> None:
        self._types[name] = vendor

    def __delitem__(self, name: str) -> None:
        del self._types[name]

    def __contains__(self, name: object) -> bool:
        return name in self._types

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)


@cache
def all_types() -> Vendors:
    """Give every vendor; none of them is imported by that."""
    return Vendors(each.name for each in pkgutil.iter_modules(streamd.connectors.__path__) if each.ispkg)
