"""Checkpoints of a run: sealed when they are whole, found by number, checked by content, rotated atomically."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.job.lockfile import LOCK_FILE

SEAL = "swift.files.json"
"""Written last into a checkpoint: each file's size and check sum. What differs from it is damaged."""

STATE = "trainer_state.json"
ELSEWHERE = "checkpoints.json"
"""In the output folder of a machine that has no checkpoints of the run: which one has, and in which folder."""

SHARDS = "shards"
"""In a checkpoint of --async_save: the folder with what each process wrote of the weights and the optimizer's state."""

SHARDED = "shards.json"
"""In such a checkpoint, where its weights are among the shards: how they are rounded when they are joined."""

LEAVING = ".leaving-"
"""How the name of a checkpoint begins while it is deleted, so that a torn one is never taken for a checkpoint."""

NAME = re.compile(r"checkpoint-(\d+)")
CHECKED_BY_THEMSELVES = (".pt", ".pth", ".bin")
"""torch's files are zip archives, which hold check sums of their own."""

LARGE = 1 << 26
"""Bytes from which on a file is not read twice for a second check sum."""


def number_of(folder: Path) -> int:
    """The step of `checkpoint-12`; -1 of any other name."""
    matched = NAME.fullmatch(folder.name)
    return int(matched[1]) if matched else -1


def checkpoints(folder: Path) -> list[Path]:
    """The folders called `checkpoint-N` with a trainer state in an output folder, oldest first."""
    there = [p for p in folder.glob("checkpoint-*") if number_of(p) >= 0 and (p / STATE).is_file()]
    return sorted(there, key=number_of)


def newest_whole(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that is whole; each newer one is said, with what is wrong with it. None: there is none."""
    for checkpoint in reversed(checkpoints(folder)):
        fault = damage(checkpoint)
        if fault is None:
            return checkpoint
        say(f"{checkpoint} is damaged ({fault}); looking for an older one")
    return None


def state_of(checkpoint: Path) -> dict[str, Any]:
    """The trainer state of a checkpoint; {} where it cannot be read."""
    return object_in(checkpoint / STATE) or {}


def run_of(checkpoint: Path) -> str | None:
    """The run that wrote a checkpoint, as its lock file says; None where it does not say."""
    return (object_in(checkpoint / LOCK_FILE) or {}).get("run")


def object_in(file: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is none that can be read."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def refuse_shards(folder: Path) -> None:
    """SwiftError for a checkpoint whose weights stand in shards: only training goes on from those."""
    if (folder / SHARDED).is_file():
        raise SwiftError(
            f"{folder} holds its weights in shards (--async_save), which training goes on from and nothing else loads. "
            f"Join them first: swift export --ckpt_dir {folder} --consolidate true"
        )


# -- whole or damaged -----------------------------------------------------------------------------------------
def seal(folder: Path) -> None:
    """Note size and check sum of every file in a checkpoint that is whole."""
    files = {str(p.relative_to(folder)): _mark_of(p) for p in sorted(_files(folder))}
    (folder / SEAL).write_text(json.dumps(files, indent=1) + "\n", encoding="utf-8")


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None where it is whole.

    One that was written without a seal is looked through for files that are cut or cannot be read.
    """
    if not isinstance(state_of(folder).get("global_step"), int):
        return f"{STATE} is missing or cannot be read"
    if not (folder / SEAL).exists():
        return next(_broken_files(folder), None)
    sealed = object_in(folder / SEAL)
    return f"{SEAL} cannot be read" if sealed is None else next(_differing_files(folder, sealed), None)


def _differing_files(folder: Path, sealed: dict[str, Any]) -> Iterator[str]:
    for name, mark in sealed.items():
        file = folder / name
        if not file.is_file():
            yield f"{name} is missing"
        elif file.stat().st_size != mark[0]:
            yield f"{name} has {file.stat().st_size:,} bytes instead of {mark[0]:,}"
        elif _mark_of(file) != mark or _is_broken(file):
            yield f"{name} has changed since it was written"


def _broken_files(folder: Path) -> Iterator[str]:
    return (f"{p.relative_to(folder)} is cut or cannot be read" for p in sorted(_files(folder)) if _is_broken(p))


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.is_file() and p.name != SEAL)


def _mark_of(file: Path) -> list[int]:
    """[bytes, check sum]; the check sum of a large file that has its own is 0."""
    size = file.stat().st_size
    own = file.suffix in CHECKED_BY_THEMSELVES and size > LARGE
    return [size, 0 if own else _check_sum(file)]


def _check_sum(file: Path) -> int:
    value = 0
    with file.open("rb") as stream:
        while part := stream.read(1 << 22):
            value = zlib.crc32(part, value)
    return value


def _is_broken(file: Path) -> bool:
    """Whether a file of a known form is not what its name says."""
    check = {".json": _read_json, ".safetensors": _read_header, **dict.fromkeys(CHECKED_BY_THEMSELVES, _read_archive)}
    try:
        check.get(file.suffix, lambda _: None)(file)
    except (OSError, ValueError, struct.error, zipfile.BadZipFile, zlib.error):
        return True
    return False


def _demand(holds: bool) -> None:
    """ValueError where a file is not as its form wants it."""
    if not holds:
        raise ValueError


def _read_json(file: Path) -> None:
    json.loads(file.read_text(encoding="utf-8"))


def _read_header(file: Path) -> None:
    """safetensors: the length of a JSON header, the header, then as many bytes as it says."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        _demand(length < file.stat().st_size)
        header = json.loads(stream.read(length))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    _demand(file.stat().st_size == 8 + length + max(ends, default=0))


def _read_archive(file: Path) -> None:
    with file.open("rb") as stream:
        begin = stream.read(2)
    if begin != b"PK":  # an older form of torch's, a plain pickle: nothing more to check it by
        return _demand(begin[:1] == b"\x80")
    with zipfile.ZipFile(file) as archive:
        _demand(archive.testzip() is None)


# -- rotation -------------------------------------------------------------------------------------------------
def rotate(newest: Path, keep: int | None, spared: str | None) -> None:
    """Delete the oldest checkpoints of the run that wrote `newest`, so that `keep` are left; the best, `spared`, stays.

    Other folders are left alone: exports, checkpoints of other runs, torn ones. keep: None or less than 1 keeps all.
    """
    folder = newest.parent
    sweep(folder)
    if not keep or keep < 1:
        return
    mine = [p for p in checkpoints(folder) if run_of(p) == run_of(newest)]
    best = Path(spared).name if spared else None
    old = [p for p in mine[:-1] if p.name != best]
    for checkpoint in old[: max(0, len(mine) - max(keep, 1 if best in (None, mine[-1].name) else 2))]:
        discard(checkpoint)


def discard(checkpoint: Path) -> None:
    """Delete a checkpoint: it is renamed first, so that no half of it is ever seen under its name."""
    leaving = checkpoint.with_name(LEAVING + checkpoint.name)
    shutil.rmtree(leaving, ignore_errors=True)
    with suppress(FileNotFoundError):
        os.replace(checkpoint, leaving)
    shutil.rmtree(leaving, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Delete what an interrupted deletion left."""
    for leaving in folder.glob(f"{LEAVING}*"):
        shutil.rmtree(leaving, ignore_errors=True)


def put_in_place(staged: Path, final: Path) -> None:
    """Seal a whole checkpoint and give it its name, on disk for good; an earlier one of that name leaves first."""
    seal(staged)
    for file in staged.rglob("*"):
        if file.is_file():
            _flush(file)
    _flush(staged)
    leaving = final.with_name(LEAVING + final.name)
    if final.exists():
        shutil.rmtree(leaving, ignore_errors=True)
        os.replace(final, leaving)
    os.replace(staged, final)
    _flush(final.parent)
    shutil.rmtree(leaving, ignore_errors=True)


def _flush(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk; some file systems cannot flush folders."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def whole_or_refused(folder: Path) -> Path:
    """The checkpoint that the user named. SwiftError where it is none or is damaged, with the newest whole one."""
    if not (folder / STATE).is_file():
        raise SwiftError(f"{str(folder)!r} is not a checkpoint of a training run: it has no {STATE}.")
    fault = damage(folder)
    if fault:
        older = newest_whole(folder.parent, lambda _: None)
        instead = f"The newest whole one is {older}." if older else "There is no whole one beside it."
        raise SwiftError(f"The checkpoint {folder} is damaged: {fault}. {instead}")
    return folder
