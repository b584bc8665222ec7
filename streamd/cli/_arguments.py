"""What several commands take."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TypeAlias

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config`, None where it is not given."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="PATH",
        help="a TOML file, or a directory of *.toml (default: $STREAMD_CONFIG, /etc/streamd/streamd.toml)",
    )


def not_negative(text: str) -> float:
    """Read a number from 0 on, for `type=` of an option."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number from 0 on")
    return number


def positive(text: str) -> float:
    """Read a number above 0, for `type=` of an option."""
    number = not_negative(text)
    if not number:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def table(rows: list[tuple[str, ...]]) -> str:
    """Lay out rows of cells in columns, each row a line."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)
