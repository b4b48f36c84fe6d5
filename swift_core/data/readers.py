"""Readers of local data files: each yields raw rows with `_where` set to file:line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_core.contract.errors import SwiftError

Raw = dict[str, Any]


def read_file(path: str | Path) -> Iterator[Raw]:
    """Rows of one file, or of every data file of a folder, by suffix.

    Raises SwiftError for a suffix that has no reader.
    """
    file = Path(path)
    if file.is_dir():
        for child in sorted(p for p in file.iterdir() if p.suffix.lower() in READERS):
            yield from read_file(child)
        return
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        raise SwiftError(f"{path}: unknown kind of data file. Known: {', '.join(READERS)}.")
    yield from reader(file)


def _jsonl(file: Path) -> Iterator[Raw]:
    with _open(file) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _placed(_json(line, f"{file}:{number}"), f"{file}:{number}")


def _json_list(file: Path) -> Iterator[Raw]:
    with _open(file) as stream:
        content = _json(stream.read(), str(file))
    if not isinstance(content, list):
        raise SwiftError(f"{file}: a JSON data file holds a list of rows; for one row a line use .jsonl.")
    for number, row in enumerate(content, 1):
        yield _placed(row, f"{file}, row {number}")


def _csv(file: Path) -> Iterator[Raw]:
    with _open(file) as stream:
        reader = csv.DictReader(stream, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
        for row in reader:
            if None in row:
                raise SwiftError(f"{file}:{reader.line_num}: more cells than the header has columns.")
            yield _placed({k: v for k, v in row.items() if v not in (None, "")}, f"{file}:{reader.line_num}")


def _parquet(file: Path) -> Iterator[Raw]:
    import pyarrow.parquet as parquet

    number = 0
    for batch in parquet.ParquetFile(file).iter_batches(batch_size=1024):
        for row in batch.to_pylist():
            number += 1
            yield _placed({k: v for k, v in row.items() if v is not None}, f"{file}, row {number}")


def _text(file: Path) -> Iterator[Raw]:
    with _open(file) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _placed({"response": line.rstrip("\n")}, f"{file}:{number}")


def _open(file: Path) -> Any:
    return file.open(encoding="utf-8-sig", newline="" if file.suffix.lower() in (".csv", ".tsv") else None)


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SwiftError(f"{where}: not valid JSON, {error.msg} at column {error.colno}.") from None


def _placed(row: Any, where: str) -> Raw:
    if not isinstance(row, dict):
        raise SwiftError(f"{where}: a row is a JSON object, found {type(row).__name__}.")
    return {**row, "_where": where}


READERS = {
    ".jsonl": _jsonl,
    ".json": _json_list,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
    ".txt": _text,
}
