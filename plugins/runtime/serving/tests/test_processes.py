"""Servers of others: they end with us, whole groups of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from swift_plugin_serving.processes import ServerProcess

from swift_core import SwiftError


class Quiet:
    """What `wait` asks of a job."""

    def say(self, *_: object) -> None:
        """Nothing."""


def sleeper() -> tuple[ServerProcess, int]:
    """A `ServerProcess` around a process that starts a child and waits; returns it with the child's id."""
    folder = tempfile.TemporaryDirectory()
    file = Path(folder.name, "child")
    child = (
        "import subprocess, sys; p = subprocess.Popen(['sleep', '600'])\n"
        "open(sys.argv[1], 'w').write(str(p.pid)); p.wait()"
    )
    command = [sys.executable, "-c", child, str(file)]
    server = ServerProcess("sleeper", command, 1, "key", dict(os.environ), folder)
    while not (file.is_file() and file.read_text()):
        time.sleep(0.05)
    return server, int(file.read_text())


def gone(number: int) -> bool:
    """Whether the process has ended (a zombie has)."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] in ("", "Z")


def test_stop_ends_the_whole_group_and_removes_the_folder():
    server, child = sleeper()
    server.stop()
    assert gone(child)
    assert not server.log.parent.exists()


def test_the_group_ends_when_we_are_killed():
    server, child = sleeper()
    server.process.stdin.close()  # what the system does when our process dies
    server.process.wait(20)
    assert gone(child)
    server.stop()


def test_a_server_that_is_never_up_is_told_with_the_option():
    server, _ = sleeper()
    with pytest.raises(SwiftError, match=r"sleeper was not up after 0.1 s \(--sleeper_start_timeout\)"):
        server.wait(Quiet(), 0.1, "sleeper_start_timeout")
    server.stop()
