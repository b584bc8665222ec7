"""Find the vendors by walking `streamd.connectors`: a folder there is all that a new vendor needs."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

import streamd.connectors
from streamd.connector import ConnectorType


@cache
def all_types() -> dict[str, ConnectorType[Any]]:
    """Import every vendor's package and give its `CONNECTOR` by the vendor's name, in name order.

    A package without a `CONNECTOR` is a mistake in the program, so its AttributeError passes.
    """
    found: list[ConnectorType[Any]] = [
        importlib.import_module(f"{streamd.connectors.__name__}.{module.name}").CONNECTOR
        for module in pkgutil.iter_modules(streamd.connectors.__path__)
        if module.ispkg
    ]
    return {vendor.name: vendor for vendor in sorted(found, key=lambda vendor: vendor.name)}
