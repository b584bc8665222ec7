"""`streamd schema`: the contract with consumers, made from the code's own types."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from streamd.asyncapi import document
from streamd.cli._arguments import Subparsers
from streamd.schema import schemas


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "schema",
        help="print the JSON Schema of each event type, and an AsyncAPI 3 document of the topics",
        description="Without --out all of it is one JSON document on stdout: `schemas` and `asyncapi`.",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write <type>.json for each event type, and asyncapi.json"
    )


def run(args: argparse.Namespace) -> int:
    """Write the files, or print the document; 1 when the directory cannot be written to."""
    if args.out is None:
        sys.stdout.write(_text({"schemas": schemas(), "asyncapi": document()}))
        return 0
    try:
        _write_files(args.out)
    except OSError as error:
        sys.stderr.write(f"error: {args.out} cannot be written to: {error.strerror or error}\n")
        return 1
    return 0


def _write_files(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in {**schemas(), "asyncapi": document()}.items():
        Path(directory, f"{name}.json").write_text(_text(content), "utf-8")


def _text(content: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n"
