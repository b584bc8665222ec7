"""Name a place in the configuration as an operator would write it: `kafka.topics."avaya.measures"[0]`."""

from __future__ import annotations

import json
import re

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def key(path: str, name: str) -> str:
    """Give the path of key `name` in the table at `path` ("" is the root)."""
    written = name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    return f"{path}.{written}" if path else written


def item(path: str, index: int) -> str:
    """Give the path of one item of the list at `path`."""
    return f"{path}[{index}]"
