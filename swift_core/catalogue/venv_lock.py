"""The lock of one isolated environment: whoever makes or removes it holds it alone, all who use it hold it together.

The system drops a lock when the last process that has the file open ends, however it ends. The installer inherits the
file, so a lock outlives a killed `swift` for as long as the installer that it left goes on writing.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from swift_core.contract.errors import SwiftError
from swift_core.system import has_shared_locks, lock, runs, unlock


class Lock:
    """The lock of the environment in `folder`, in a file beside it that stays. Raises SwiftError without such locks."""

    def __init__(self, folder: Path):
        if not has_shared_locks():
            raise SwiftError("Isolated environments need the file locks of Linux or macOS: on Windows, work in WSL.")
        self.file = lock_file(folder)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise SwiftError(
                f"{self.file} cannot be written ({error.strerror}): set SWIFT_ENVS to another folder."
            ) from None

    def __enter__(self) -> Lock:
        """The lock itself, which is closed at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        """Let go of it."""
        self.close()

    def close(self) -> None:
        """Let go of it for good."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1

    def release(self) -> None:
        """Let go of it until it is taken again."""
        unlock(self.descriptor)

    def take(self, doing: str, *, alone: bool, waiting: str = "") -> bool:
        """Whether it is held now. doing: what others read that we do, for instance `makes it`.

        waiting: what is said before it waits for others; left out, it does not wait. Raises SwiftError where the
        file system has no locks.
        """
        try:
            if not lock(self.descriptor, alone):
                if not waiting:
                    return False
                print(f"{waiting}: {holder(self.file)}.", file=sys.stderr, flush=True)
                lock(self.descriptor, alone, wait=True)
        except OSError as error:
            raise SwiftError(
                f"{self.file} cannot be locked ({error.strerror}): set SWIFT_ENVS to a local disk."
            ) from None
        with suppress(OSError):  # a full disk: who holds it stays unsaid
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, f"{os.getpid()} {doing}".encode(), 0)
        return True


def lock_file(folder: Path) -> Path:
    """Where the lock of the environment in `folder` is."""
    return folder.with_name(f"{folder.name}.lock")


def holder(file: Path) -> str:
    """`process 12 makes it`: who wrote itself into a lock that is held. Several may use it, this is the last one."""
    pid, _, doing = file.read_text(encoding="utf-8", errors="replace").partition(" ")
    if not pid.isdigit():
        return "another process holds it"
    return f"process {pid} {doing}" if runs(int(pid)) else f"a process that {pid} started still works on it"


def held_alone(folder: Path) -> str:
    """Who makes or removes the environment in `folder` now, as `holder` says it; empty where nobody does."""
    try:
        descriptor = os.open(lock_file(folder), os.O_RDONLY)
    except OSError:
        return ""  # never locked, so nobody works on it
    try:
        return "" if lock(descriptor, alone=False) else holder(lock_file(folder))
    finally:
        os.close(descriptor)
