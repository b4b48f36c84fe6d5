"""Tables: CSV in its dialects, TSV and Parquet."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.source import data_suffix
from swift_core.data.faults import BadRow
from swift_core.data.opened import check_text, open_text
from swift_core.data.values import without_nulls

SEPARATORS = ",;\t|"
"""What may stand between the cells of a .csv, in order of preference."""

SAID = re.compile(r'"?sep=(.)"?\s*$')
"""The line before the header in which a spreadsheet says its separator."""


def csv_rows(file: Path) -> Iterator[tuple[Any, str]]:
    """Rows of a table with a header, without empty cells."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the library's own limit is 131,072 characters
    with open_text(file, newline="") as stream:
        separator, first = _first_line(stream, data_suffix(file))
        spaced = f"{separator} " in first
        lines = csv.reader(chain([first], stream), delimiter=separator, strict=True, skipinitialspace=spaced)
        yield from _under_header(lines, file)


def _first_line(stream: IO[str], suffix: str) -> tuple[str, str]:
    """(separator, the header's line)."""
    first = next((line for line in stream if line.strip()), "")
    said = SAID.match(first)
    if said:
        return said[1], next(stream, "")
    if suffix == ".tsv":
        return "\t", first
    several = (s for s in SEPARATORS if len(_cells(first, s)) > 1)
    return next(several, ","), first


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _under_header(lines: Any, file: Path) -> Iterator[tuple[Any, str]]:
    header: list[str] | None = None
    while True:
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(f"{file}:{lines.line_num}: not valid CSV, {error}."), ""
            continue
        where = f"{file}:{lines.line_num}"
        if header is None:
            header = _header(cells, where)
        elif cells:
            yield _row(header, cells, where), where


def _header(cells: list[str], where: str) -> list[str]:
    names = [name.strip() for name in cells]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice:
        raise SwiftError(f"{where}: two columns are called {twice[:60]!r}.")
    return names


def _row(header: list[str], cells: list[str], where: str) -> Any:
    if len(cells) != len(header):
        more = "more" if len(cells) > len(header) else "fewer"
        return BadRow(f"{where}: {more} cells than the header has columns ({len(cells)}, not {len(header)}).")
    try:
        check_text("".join(cells), where)
    except BadRow as error:
        return error
    return {name: cell for name, cell in zip(header, cells, strict=True) if cell}


def parquet_rows(file: Path) -> Iterator[tuple[Any, str]]:
    """Rows of a Parquet file, without the nulls that Arrow fills in.

    Raises SwiftError, which names the file, where it cannot be read.
    """
    import pyarrow
    import pyarrow.parquet as parquet

    number = 0
    try:
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                yield without_nulls(row), f"{file}, row {number}"
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        text = str(error).split("\n")[0][:200]
        raise SwiftError(f"{file}: not a Parquet file that can be read, behind row {number} ({text}).") from None
