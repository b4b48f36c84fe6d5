"""Encoded rows of text in Arrow files: compact, mapped into memory, and found again by what went into them."""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import inspect
import json
import os
import time
import zlib
from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow
import torch

import swift_core
from swift_core.catalogue.metadata_cache import cache_folder
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_plugin_runtime.loading.processor import tokenizer_of
from swift_plugin_runtime.options import training_options

COLUMNS = {"input_ids": pyarrow.int32(), "labels": pyarrow.int32(), "loss_scale": pyarrow.float32()}
"""What is kept of a row; one that holds anything else is not stored."""

SCHEMA = pyarrow.schema([(name, pyarrow.large_list(kind)) for name, kind in COLUMNS.items()])

DAYS = 30
"""Files that nobody opened for so long are deleted."""

DECIDES = ("model", "loader", "template", "agent", "loss_scale", "bbox")
"""Kinds of components that have a say in how a row is encoded."""

OPTIONS = "system enable_thinking preserve_thinking plain_user_text max_length strict".split()
"""Options of the job that have one."""


class StoredRows(torch.utils.data.Dataset):
    """Rows of an Arrow file or buffer. Item i is a dict of lists, as `encode` returns it.

    A file is mapped: what is not looked at takes no memory.
    """

    def __init__(self, source: Any):
        reader = pyarrow.ipc.open_file(source)
        self.said = json.loads((reader.schema.metadata or {}).get(b"said", b"{}"))
        self.parts = [reader.get_batch(n) for n in range(reader.num_record_batches)]
        self.ends = list(accumulate(part.num_rows for part in self.parts))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> dict[str, list[Any]]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = bisect.bisect_right(self.ends, index)
        part, within = self.parts[place], index - (self.ends[place - 1] if place else 0)
        cells = {name: part.column(name)[within] for name in COLUMNS}
        return {name: value.values.to_numpy().tolist() for name, value in cells.items() if value.is_valid}

    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [n for part in self.parts for n in part.column("input_ids").value_lengths().to_pylist()]


def fits(item: dict[str, Any]) -> bool:
    """Whether a row can be stored."""
    return item.keys() <= COLUMNS.keys()


def batch_of(items: list[dict[str, Any]]) -> pyarrow.RecordBatch:
    """Encoded rows as one batch of the file."""
    if not all(fits(item) for item in items):
        raise ValueError(f"rows that are stored hold {', '.join(COLUMNS)} and nothing else")
    columns = [pyarrow.array([item.get(f.name) for item in items], type=f.type) for f in SCHEMA]
    return pyarrow.RecordBatch.from_arrays(columns, schema=SCHEMA)


def write(batches: list[pyarrow.RecordBatch], said: dict[str, Any], file: Path | None) -> StoredRows:
    """The batches as a file that is whole or absent, or in memory where none is named or none can be written.

    said: what a later run should be told too.
    """
    schema = SCHEMA.with_metadata({"said": json.dumps(said)})
    if file is not None:
        staging = file.with_name(f".{os.getpid()}-{file.name}")
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            _write(batches, schema, str(staging))
            _seal(staging)
            os.replace(staging, file)
            return StoredRows(_sealed_part(file))
        with contextlib.suppress(OSError):
            staging.unlink()
    sink = pyarrow.BufferOutputStream()
    _write(batches, schema, sink)
    return StoredRows(sink.getvalue())


def _write(batches: Iterable[pyarrow.RecordBatch], schema: Any, sink: Any) -> None:
    with pyarrow.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


# -- the cache --------------------------------------------------------------------------------------------
def folder() -> Path:
    """Where encoded rows are kept."""
    return Path(cache_folder(), "rows")


def open_cached(file: Path, say: Callable[[str], None]) -> StoredRows | None:
    """The rows of a file of the cache; None where there is none, or where it is damaged, which is said."""
    if not file.is_file():
        return None
    try:
        os.utime(file)
        return StoredRows(_sealed_part(file))
    except (OSError, ValueError, pyarrow.ArrowException):
        say(f"{file} is damaged: its rows are encoded anew")
        return None


SEAL = b"swift1"
"""Stands behind the Arrow file, followed by four bytes: the check sum of all before them."""


def _seal(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(SEAL + zlib.crc32(pyarrow.memory_map(str(file)).read_buffer()).to_bytes(4, "little"))


def _sealed_part(file: Path) -> Any:
    """The Arrow part of a file, mapped. ValueError where it is not what was written."""
    whole = pyarrow.memory_map(str(file)).read_buffer()
    length = len(whole) - len(SEAL) - 4
    if length < 0 or whole[length:].to_pybytes() != SEAL + zlib.crc32(whole[:length]).to_bytes(4, "little"):
        raise ValueError(f"{file} is not as it was written")
    return whole[:length]


def prune() -> None:
    """Delete files of the cache that were not opened for `DAYS` days."""
    oldest = time.time() - DAYS * 86400
    with contextlib.suppress(OSError):
        for file in folder().glob("*.arrow"):
            if file.stat().st_mtime < oldest:
                file.unlink()


def file_for(job: Job, rows: list[Row], processor: Any) -> Path:
    """The file that holds these rows as this job encodes them: its name is a hash of all that decides."""
    mark = hashlib.sha256()
    for text in (*_settings(job), tokenizer_text(tokenizer_of(processor))):
        mark.update(text.encode())
    for code in _code(job):
        mark.update(code)
    for row in rows:
        told = (row.messages, row.tools, row.objects, row.extra, row.label)
        mark.update(json.dumps(told, ensure_ascii=False, default=str).encode())
    return folder() / f"{mark.hexdigest()[:32]}.arrow"


def _settings(job: Job) -> list[str]:
    chosen = [c for c in job.lock()["components"] if c["kind"] in DECIDES]
    options = {name: getattr(job.options, name) for name in OPTIONS}
    options["truncation_strategy"] = training_options(job).truncation_strategy
    said = json.dumps([chosen, options], sort_keys=True, default=str)
    return [said, *(str(vars(c.component)) for kind in ("template", "model") for c in job.many(kind))]


def tokenizer_text(tokenizer: Any) -> str:
    """All that a tokenizer does to a text, as a text."""
    whole = getattr(tokenizer, "backend_tokenizer", None)
    rules = whole.to_str() if whole is not None else str(sorted(tokenizer.get_vocab().items()))
    return f"{type(tokenizer)} {tokenizer.special_tokens_map} {getattr(tokenizer, 'model_max_length', 0)} {rules}"


def _code(job: Job) -> list[bytes]:
    """The source of all that has a hand in encoding: an edit there makes other rows."""
    homes = {Path(inspect.getfile(type(c.component))).parent for kind in DECIDES for c in job.many(kind)}
    kernel = Path(swift_core.__file__).parent
    files = [f for home in sorted({*homes, kernel / "templates", kernel / "data"}) for f in sorted(home.glob("*.py"))]
    return [file.read_bytes() for file in files]
