"""The output folder of a training run: its place settled, writable, held by one run at a time."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract.errors import SwiftError
from swift_core.jobs.checkpoints import checkpoints, sweep
from swift_core.system import lock

if TYPE_CHECKING:
    from swift_core.contract.job import Job

HOLDER = ".swift.running"
"""Locked by the process that trains into the folder; it holds that process's number."""

HELD = "SWIFT_OUTPUT_HELD"
"""Environment variable: the folder that the process which started this one holds for it."""

REPLACED = ("checkpoint-*", "logging.jsonl", "curves.png")
"""What an earlier run left, as --overwrite_output_dir moves it away."""


@contextmanager
def output_folder(job: Job) -> Iterator[Path]:
    """The job's output folder, there and writable; no other run can have it before the block ends.

    Raises SwiftError where it cannot be written, is in use, or holds another run's checkpoints.
    """
    folder = _place(job)
    if not _is_ours_to_hold(folder):
        yield folder
        return
    descriptor = _hold(job, folder)
    try:
        _make_room(job, folder)
        sweep(folder)
        yield folder
    finally:
        with suppress(OSError):
            (folder / HOLDER).unlink()  # while the lock is held: who waits for it looks again
        os.close(descriptor)


def _place(job: Job) -> Path:
    options = job.options
    if options.output_dir is None:
        name = Path(options.model).name.lower()
        options.output_dir = f"output/{name}-{job.spec.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path(options.output_dir)
    if folder.exists() and not folder.is_dir():
        raise SwiftError(f"--output_dir {folder} is a file, not a folder.")
    return folder


def _is_ours_to_hold(folder: Path) -> bool:
    """Whether this process is the run's first, and not started by one that holds the folder."""
    first = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"
    return first and os.environ.get(HELD) != str(folder.absolute())


def _hold(job: Job, folder: Path) -> int:
    """The descriptor of the folder's lock; the system drops it when this process ends, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(folder / HOLDER, os.O_RDWR | os.O_CREAT, 0o666)
            _lock(job, folder, descriptor)
            if _is_still(folder / HOLDER, descriptor):
                break
            os.close(descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except OSError as error:
        raise SwiftError(
            f"--output_dir {folder} cannot be written: {error.strerror}. Choose another, or make room."
        ) from None
    return descriptor


def _is_still(file: Path, descriptor: int) -> bool:
    """Whether the file that was opened is the one of that name: a run that ended may have deleted it meanwhile."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(job: Job, folder: Path, descriptor: int) -> None:
    """Lock the folder for this run. SwiftError where another run has it; a line where there are no such locks."""
    try:
        held = lock(descriptor)
    except OSError as error:  # a file system without locks
        job.say(f"{folder} cannot be locked ({error.strerror}): let no other run write into it")
        return
    if not held:
        who = (folder / HOLDER).read_text(encoding="utf-8", errors="replace").strip()
        os.close(descriptor)
        raise SwiftError(
            f"--output_dir {folder} is in use: process {who or 'unknown'} trains into it. Choose another, or wait."
        )


def _make_room(job: Job, folder: Path) -> None:
    """Refuse a folder that holds another run's checkpoints, or move that run away where it is to be replaced."""
    options, used = job.options, checkpoints(folder)
    if options.resume_from_checkpoint not in (None, "", "false", "False"):
        return
    if used and not options.overwrite_output_dir:
        raise SwiftError(
            f"{folder} already holds {used[-1].name}. Go on with --resume_from_checkpoint last, choose another "
            "--output_dir, or say --overwrite_output_dir true."
        )
    if options.overwrite_output_dir:
        _move_away(job, folder)


def _move_away(job: Job, folder: Path) -> None:
    old = [path for pattern in REPLACED for path in sorted(folder.glob(pattern))]
    if not old:
        return
    place = folder / f"replaced-{time.strftime('%Y%m%d-%H%M%S')}"
    place.mkdir(exist_ok=True)
    for path in old:
        shutil.move(path, place / path.name)
    job.say(f"--overwrite_output_dir: what {folder} held of an earlier run is in {place}")
