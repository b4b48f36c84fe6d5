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


class Lock:
    """The lock of the environment in `folder`, in a file beside it that stays. Raises SwiftError without such locks."""

    def __init__(self, folder: Path):
        if os.name != "posix":
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
        import fcntl

        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def take(self, doing: str, *, alone: bool, waiting: str = "") -> bool:
        """Whether it is held now. doing: what others read that we do, for instance `makes it`.

        waiting: what is said before it waits for others; left out, it does not wait. Raises SwiftError where the
        file system has no locks.
        """
        import fcntl

        how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        try:
            fcntl.flock(self.descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waiting:
                return False
            print(f"{waiting}: {holder(self.file)}.", file=sys.stderr, flush=True)
            fcntl.flock(self.descriptor, how)
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
    return f"process {pid} {doing}" if _runs(int(pid)) else f"a process that {pid} started still works on it"


def held_alone(folder: Path) -> str:
    """Who makes or removes the environment in `folder` now, as `holder` says it; empty where nobody does."""
    import fcntl

    try:
        descriptor = os.open(lock_file(folder), os.O_RDONLY)
    except OSError:
        return ""  # never locked, so nobody works on it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return holder(lock_file(folder))
    finally:
        os.close(descriptor)
    return ""


def _runs(pid: int) -> bool:
    """Whether a process of that id runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True
