"""Readers of local data files: each yields raw rows with `_where` set to file:line."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.source import data_suffix, is_data_file
from swift_core.data.faults import BadRow, ReadOn
from swift_core.data.opened import check_text, lines_of, open_text
from swift_core.data.tables import csv_rows, parquet_rows
from swift_core.data.values import shown

Raw = dict[str, Any]

HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""Where JSON writes half a character; two of them may be one."""


def read_file(path: str | Path) -> ReadOn:
    """Rows of one file, of every data file of a folder, or of the files that a pattern (`data/*.jsonl`) names.

    A row that cannot be read raises `BadRow`; the next `next` goes on behind it.
    """
    return ReadOn(_rows(path))


def _rows(path: str | Path) -> Iterator[Raw | BadRow]:
    for file in _files(Path(path)):
        reader = READERS.get(data_suffix(file))
        if reader is None:
            raise SwiftError(f"{file}: unknown kind of data file. Known: {', '.join(READERS)}, also .gz, .zst …")
        yield from (row if isinstance(row, BadRow) else {**row, "_where": where} for row, where in reader(file))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if is_data_file(p) and p.is_file())
        if not files:
            raise SwiftError(f"The folder {str(path)!r} holds no data files ({', '.join(READERS)}).")
        return files
    if path.exists():
        return [path]
    return sorted(Path(name) for name in glob.glob(str(path)))


def _jsonl(file: Path) -> Iterator[tuple[Any, str]]:
    """One object a line; a file that holds a list all the same is read as .json."""
    lines = lines_of(file)
    first = next(lines, None)
    if first and (first[1].lstrip()[0] == "[" or first[1].strip() == "{"):
        yield from _json(file)
    elif first:
        yield from _by_line(file, chain([first], lines))


def _by_line(file: Path, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[Any, str]]:
    for number, line in lines:
        where = f"{file}:{number}"
        yield _row(line.rstrip(), where), where


def _json(file: Path) -> Iterator[tuple[Any, str]]:
    """A list of rows, an object with such a list under `data`, one row, or one object a line after all."""
    with open_text(file) as stream:
        text = stream.read()
    try:
        check_text(text, str(file))
        value = read_json(text, str(file))
    except BadRow as error:
        if _first_line_is_row(text):
            yield from (
                (_row(line.rstrip(), f"{file}:{number}"), f"{file}:{number}") for number, line in lines_of(file)
            )
            return
        raise SwiftError(str(error)) from None
    listed = value.get("data") if isinstance(value, dict) and isinstance(value.get("data"), list) else value
    for number, row in enumerate(listed if isinstance(listed, list) else [listed], 1):
        where = f"{file}, row {number}"
        yield _checked(row, where), where


def _first_line_is_row(text: str) -> bool:
    line = text.lstrip().partition("\n")[0]
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _row(line: str, where: str) -> Raw | BadRow:
    try:
        check_text(line, where)
        return _checked(read_json(line, where), where)
    except BadRow as error:
        return error


def _checked(row: Any, where: str) -> Raw | BadRow:
    return row if isinstance(row, dict) else BadRow(f"{where}: a row is a JSON object, found {type(row).__name__}.")


def read_json(text: str, where: str) -> Any:
    """The value of a JSON text; BadRow where it is not valid, names a key twice, or holds half a character."""
    try:
        value = json.loads(text, object_pairs_hook=_object)
        if HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        problem = f"not valid JSON, {error.msg} at {line}column {error.colno}"
    except UnicodeEncodeError:
        problem = "a text holds half of a character (a lone surrogate)"
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError as error:
        problem = f"not valid JSON, {str(error)[:200]}"
    raise BadRow(f"{where}: {problem}.")


def _object(pairs: list[tuple[str, Any]]) -> Raw:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in members if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} stands twice in one object")
    return members


def _text(file: Path) -> Iterator[tuple[Any, str]]:
    for number, line in lines_of(file):
        where = f"{file}:{number}"
        try:
            check_text(line, where)
            yield {"response": line.rstrip("\n")}, where
        except BadRow as error:
            yield error, where


READERS = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": parquet_rows,
    ".txt": _text,
}
