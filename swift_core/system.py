"""What differs between Linux, macOS and Windows: process groups, signals and file locks. All else asks here.

Each function goes by what the system has, not by its name, so that a test can take a part away and see what is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import Any

LOCKED_BYTE = 2**30
"""On Windows the byte of a file that stands for its lock: far behind what is in it, which others may read."""


def own_group() -> dict[str, Any]:
    """Keywords of `subprocess.Popen` for a process that leads a group of its own, which `end_group` ends."""
    if hasattr(os, "killpg"):
        return {"start_new_session": True}
    return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}


def end_group(leader: int, at_once: bool = False) -> None:
    """Ask the group of the process `leader` to end, or end it at once; nothing where it is over.

    Windows asks with Ctrl-Break, which reaches the group, and ends a process with all that it started.
    """
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL if at_once else signal.SIGTERM)
    elif at_once:
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(leader)], capture_output=True, check=False)
    else:
        with suppress(OSError):
            os.kill(leader, getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))


def runs(pid: int) -> bool:
    """Whether a process of that id runs, of whatever user."""
    if not hasattr(os, "killpg"):
        return _runs_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True


def _runs_on_windows(pid: int) -> bool:
    """As `runs`; there `os.kill(pid, 0)` would press Ctrl-C."""
    done = subprocess.run(["tasklist", "/FI", f"PID eq {pid}", "/NH"], capture_output=True, text=True, check=False)
    return str(pid) in done.stdout.split()


def has_shared_locks() -> bool:
    """Whether several processes can hold one lock together, as an isolated environment needs it."""
    try:
        import fcntl  # noqa: F401
    except ImportError:
        return False
    return True


def lock(descriptor: int, alone: bool = True, wait: bool = False) -> bool:
    """Whether an open file is locked now; it stays so until `unlock`, or until the last process that has it ends.

    alone: against all others; else together with others that say so, which Windows cannot. Raises OSError where the
    file system has no locks.
    """
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(descriptor, wait)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _lock_on_windows(descriptor: int, wait: bool) -> bool:
    try:
        _locking(descriptor, "LK_LOCK" if wait else "LK_NBLCK")
    except PermissionError:
        return False
    return True


def _locking(descriptor: int, how: str) -> None:
    """Windows' lock of a byte. how: the name of its constant. Raises PermissionError where another process has it."""
    import msvcrt

    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, getattr(msvcrt, how), 1)  # type: ignore[attr-defined]
    finally:
        os.lseek(descriptor, place, os.SEEK_SET)


def unlock(descriptor: int) -> None:
    """Let go of a lock before the file is closed."""
    try:
        import fcntl
    except ImportError:
        _locking(descriptor, "LK_UNLCK")
        return
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
