"""Read the configuration's file, or merge the files of its directory, into one table."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamd.config import tomlpath
from streamd.config.secret_tables import is_secret_table
from streamd.errors import ConfigError, Problem

DEFAULT = Path("/etc/streamd/streamd.toml")
VARIABLE = "STREAMD_CONFIG"


def default_path() -> Path:
    """Give where the configuration is when no `--config` says so."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


def read(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    """Give the merged table of the file or directory, and a mistake for each key that is set twice.

    Raises ConfigError when a file cannot be read or is not TOML, naming every such file, with its line.
    """
    files = _files(path)
    tables: list[tuple[Path, dict[str, Any]]] = []
    problems: list[Problem] = []
    for file in files:
        try:
            tables.append((file, tomllib.loads(file.read_text("utf-8"))))
        except OSError as error:
            problems.append(_unreadable(file, error))
        except UnicodeDecodeError as error:
            problems.append(Problem(str(file), f"is not TOML: not UTF-8 at byte {error.start}"))
        except tomllib.TOMLDecodeError as error:
            problems.append(Problem(str(file), f"is not TOML: {error}"))
    if problems:
        raise ConfigError(problems)
    return _merged(tables)


def _files(path: Path) -> Sequence[Path]:
    """List the file itself, or the directory's `*.toml` in name order; editors' hidden files are not ours."""
    try:
        if not path.is_dir():
            return [path]
        files = sorted(file for file in path.iterdir() if file.suffix == ".toml" and file.name[0] != ".")
    except OSError as error:
        raise ConfigError([_unreadable(path, error)]) from error
    if not files:
        raise ConfigError([Problem(str(path), "holds no *.toml file")])
    return files


def _unreadable(path: Path, error: OSError) -> Problem:
    return Problem(str(path), f"cannot be read: {error.strerror or error}")


def _merged(tables: Sequence[tuple[Path, dict[str, Any]]]) -> tuple[dict[str, Any], list[Problem]]:
    whole: dict[str, Any] = {}
    set_in: dict[str, Path] = {}
    problems: list[Problem] = []
    for file, table in tables:
        _merge(whole, table, "", file, set_in, problems)
    return whole, problems


def _merge(
    into: dict[str, Any],
    table: dict[str, Any],
    path: str,
    file: Path,
    set_in: dict[str, Path],
    problems: list[Problem],
) -> None:
    for name, value in table.items():
        place = tomlpath.key(path, name)
        present = into.get(name)
        if _is_branch(value) and _is_branch(into.setdefault(name, {})):
            set_in.setdefault(place, file)
            _merge(into[name], value, place, file, set_in, problems)
        elif present is not None:
            problems.append(Problem(place, f"is set twice: in {set_in[place]} and in {file}"))
        else:
            into[name] = value
            set_in[place] = file


def _is_branch(value: object) -> bool:
    """Tell tables whose keys may come from several files from values, of which a secret's table is one."""
    return isinstance(value, dict) and not is_secret_table(value)
