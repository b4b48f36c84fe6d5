"""Linux, macOS, Windows: groups of processes and locks behind one door, and what is left where a part is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from fresh_venv import ROOT

from swift_core import system
from swift_core.catalogue.entries import Catalogue

WINDOWS = """
    import asyncio, importlib.abc, multiprocessing, os, pathlib, shutil, signal, subprocess, sys, tempfile, types, uuid
    import psutil  # has a half of its own for each system
    ABSENT = {"fcntl", "resource", "termios", "pwd", "grp", "readline", "pty", "tty", "syslog"}

    class Absent(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name in ABSENT:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in ABSENT:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Absent())
    for name in ("killpg", "fork", "forkpty", "setsid", "getpgid", "getuid", "geteuid", "getgid", "sched_getaffinity",
                 "sysconf", "sysconf_names", "statvfs", "mkfifo", "getloadavg", "pwrite"):
        if hasattr(os, name):
            delattr(os, name)
    for name in ("SIGKILL", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGCHLD"):
        if hasattr(signal, name):
            delattr(signal, name)
    locks = types.ModuleType("msvcrt")
    locks.LK_LOCK, locks.LK_NBLCK, locks.LK_UNLCK, held = 1, 2, 0, set()

    def locking(descriptor, how, count):
        place = (os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR))
        if how == locks.LK_UNLCK:
            held.remove(place)
        elif place in held:
            raise PermissionError(13, "Permission denied")
        else:
            held.add(place)

    locks.locking = locking
    sys.modules["msvcrt"] = locks
"""
"""Takes away what Windows does not have, before anything of ours is imported; paths and encodings stay those of here.

What Python's own library imports of it is imported before.
"""


def on_windows(code: str, *words: str) -> str:
    """What a Python program prints where Windows' branches are taken; AssertionError where it fails."""
    program = textwrap.dedent(WINDOWS) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_without_posix_it_lists_and_explains(qwen2: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"query": "a", "response": "b"}\n', encoding="utf-8")
    code = """
        from swift_core.cli import main
        for words in (["list", "tuners"], ["explain", "sft", "--model", sys.argv[1], "--dataset", sys.argv[2]]):
            sys.argv[1:], kept = words, sys.argv[1:]
            main()
            sys.argv[1:] = kept
    """
    said = on_windows(code, qwen2, str(rows))
    assert "lora" in said and "build_trainer" in said


def test_without_posix_every_component_is_imported() -> None:
    code = """
        from swift_core.catalogue.entries import Catalogue
        entries = [e for e in Catalogue.installed().entries if e.kind not in ("model", "template", "dataset", "recipe")]
        for entry in entries:
            entry.load()
        import swift_plugin_serving.processes, swift_plugin_webui.jobs.store, swift_plugin_webui.jobs.keeper
        print(len(entries))
    """
    expected = [e for e in Catalogue.installed().entries if e.kind not in ("model", "template", "dataset", "recipe")]
    assert int(on_windows(code)) == len(expected)


def test_without_posix_a_folder_is_locked_and_environments_are_refused(tmp_path: Path) -> None:
    code = """
        from pathlib import Path
        from swift_core import SwiftError, system
        from swift_core.catalogue.venv_lock import Lock
        with open(sys.argv[1], "w+") as one, open(sys.argv[1], "w+") as other:
            print(system.lock(one.fileno()), system.lock(other.fileno()), system.own_group(), system.processors() > 0)
            system.unlock(one.fileno())
            print(system.lock(other.fileno()))
        try:
            Lock(Path(sys.argv[1] + ".env"))
        except SwiftError as error:
            print(error)
    """
    said = on_windows(code, str(tmp_path / "lock"))
    assert said.startswith("True False {'creationflags': 0} True\nTrue\n") and "work in WSL" in said


def test_a_group_ends_with_all_that_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    code = f"sleep 60 & echo $! > {child}; wait"
    leader = subprocess.Popen(["sh", "-c", code], **system.own_group())
    while not child.is_file() or not child.read_text().strip():
        time.sleep(0.05)
    assert system.runs(leader.pid) and system.runs(int(child.read_text()))
    system.end_group(leader.pid)
    assert leader.wait(10) < 0
    system.end_group(leader.pid, at_once=True)  # over: nothing happens
    for _ in range(100):
        if not _alive(int(child.read_text())):
            return
        time.sleep(0.05)
    raise AssertionError("what the group had started goes on")


def _alive(pid: int) -> bool:
    """Whether it runs; a child that nobody has waited for is over."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_locks_are_alone_or_shared(tmp_path: Path) -> None:
    files = [os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(3)]
    one, two, three = files
    assert system.lock(one, alone=False) and system.lock(two, alone=False)
    assert not system.lock(three)
    system.unlock(one)
    system.unlock(two)
    assert system.lock(three) and not system.lock(one, alone=False)
    for descriptor in files:
        os.close(descriptor)


@pytest.mark.parametrize("name", ["killpg", "fcntl", "msvcrt", "sched_getaffinity", "start_new_session"])
def test_nothing_else_asks_for_the_system(name: str) -> None:
    """One door. The test kit's own forks are for Linux and macOS."""
    kit = {"fresh.py", "runner.py"}
    files = [*ROOT.glob("swift_core/**/*.py"), *ROOT.glob("plugins/**/*.py")]
    asking = [f for f in files if "tests" not in f.parts and ".venv" not in f.parts and f.name not in kit]
    found = [f.relative_to(ROOT).as_posix() for f in asking if name in f.read_text(encoding="utf-8")]
    assert found == ["swift_core/system.py"]
