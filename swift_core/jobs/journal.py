"""A JSONL file that grows while a job runs, and that a later run of the same job goes on with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swift_core.contract.job import Job


def line_of(value: Any) -> str:
    """JSON of one line; media that are not paths are named by their type alone."""
    return json.dumps(value, ensure_ascii=False, default=lambda v: f"({type(v).__name__})")


def append(file: Path, lines: Iterable[str]) -> None:
    """Add lines, which are on the disk before this returns."""
    with file.open("a", encoding="utf-8") as stream:
        stream.write("".join(line + "\n" for line in lines))
        stream.flush()
        os.fsync(stream.fileno())


def rewrite(file: Path, lines: Iterable[str]) -> None:
    """Write the file anew with these lines; until they are all on the disk the old one stands."""
    beside = file.with_name(file.name + ".new")
    try:
        beside.unlink(missing_ok=True)
        append(beside, lines)
        beside.replace(file)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def whole_lines(file: Path) -> list[str]:
    """The lines of a file; a last one that was cut off does not count. [] where there is no file."""
    return file.read_text(encoding="utf-8").split("\n")[:-1] if file.is_file() else []


def mark_of(job: Job, apart: Iterable[str]) -> str:
    """Differs wherever what the job writes could: components, versions and options, those of `apart` left out."""
    lock = job.lock()
    lock["options"] = {k: v for k, v in lock["options"].items() if k not in apart}
    return hashlib.sha256(json.dumps(lock, sort_keys=True, default=str).encode()).hexdigest()
