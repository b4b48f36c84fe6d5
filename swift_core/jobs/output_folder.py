"""The output folder of a training run: its place settled, writable, held by one run at a time."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract.components import Launcher, declared
from swift_core.contract.errors import SwiftError
from swift_core.jobs.checkpoints import checkpoints, sweep
from swift_core.system import has_shared_locks, lock

if TYPE_CHECKING:
    from swift_core.contract.job import Job

HOLDER = ".swift.running"
"""Locked by the process that trains into the folder; it holds that process's number, and in a second line what the run
is called where several machines start it, each of which then shares the lock."""

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
    descriptor, first = _hold(job, folder)
    try:
        if first:
            _make_room(job, folder)
            sweep(folder)
        yield folder
    finally:
        _release(folder, descriptor)


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


def _hold(job: Job, folder: Path) -> tuple[int, bool]:
    """(descriptor of the folder's lock, whether no other machine of this run has it already).

    The system drops the lock when this process ends, however it ends.
    """
    descriptor, name = None, _meeting(job)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, first = _locked(job, folder, name)
        if first:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n{name or ''}".encode(), 0)
            _share(descriptor, name)
    except OSError as error:
        if descriptor is not None:
            _release(folder, descriptor)
        raise SwiftError(
            f"--output_dir {folder} cannot be written: {error.strerror}. Choose another, or make room."
        ) from None
    return descriptor, first


def _holder(folder: Path) -> str:
    """What the lock's file says; a moment is given to whoever has just locked it, and writes it next."""
    for _ in range(20):
        if text := (folder / HOLDER).read_text(encoding="utf-8", errors="replace"):
            return text
        time.sleep(0.1)
    return ""


def _meeting(job: Job) -> str | None:
    """What the run is called on all machines that start it."""
    launchers = job.many("launcher")
    return declared(launchers[0].component, Launcher, "meeting")() if launchers else None


def _share(descriptor: int, name: str | None) -> None:
    """Let other machines of this run have the lock as well."""
    if name and has_shared_locks():
        with suppress(OSError):  # a file system without locks
            lock(descriptor, alone=False)


def _locked(job: Job, folder: Path, name: str | None) -> tuple[int, bool]:
    """The descriptor of the folder's lock file, locked while it has its name, and whether it is this run's first."""
    while True:
        descriptor = os.open(folder / HOLDER, os.O_RDWR | os.O_CREAT, 0o666)
        first = _lock(job, folder, descriptor, name)
        if _is_still(folder / HOLDER, descriptor):
            return descriptor, first
        os.close(descriptor)


def _release(folder: Path, descriptor: int) -> None:
    """Give the folder up. The last who has it deletes the file while it is locked: who waits for it looks again."""
    with suppress(OSError):
        if _is_alone(descriptor):
            (folder / HOLDER).unlink()
    os.close(descriptor)


def _is_alone(descriptor: int) -> bool:
    """Whether no other machine of the run has the lock; True where there are no locks."""
    try:
        return lock(descriptor)
    except OSError:
        return True


def _is_still(file: Path, descriptor: int) -> bool:
    """Whether the file that was opened is the one of that name: a run that ended may have deleted it meanwhile."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(job: Job, folder: Path, descriptor: int, name: str | None) -> bool:
    """Lock the folder for this run; False where another machine of it, called `name`, has it already.

    SwiftError where another run has it; a line where there are no such locks.
    """
    try:
        held = lock(descriptor)
    except OSError as error:  # a file system without locks
        job.say(f"{folder} cannot be locked ({error.strerror}): let no other run write into it")
        return True
    if held:
        return True
    who, _, run = _holder(folder).partition("\n")
    if name and run == name:
        lock(descriptor, alone=False, wait=True)
        return False
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
