"""A `swift deploy` process for the length of a `with` block."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator

from swift_core import SwiftError


@contextlib.contextmanager
def served(model: str, port: int, loading: dict[str, str]) -> Iterator[str]:
    """The address of a server for `model`; the process is stopped at the end of the block. loading: more options."""
    words = ["--model", model, "--port", str(port), *(w for k, v in loading.items() for w in (f"--{k}", v))]
    command = [sys.executable, "-u", "-m", "swift_core", "deploy", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield _address(process)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        process.kill()


def _address(process: subprocess.Popen[str]) -> str:
    """The address that the server prints once it listens; its output is read on, so that it never blocks."""
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        if "Serving on " in line:
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return line.split("Serving on ")[1].split()[0]
    raise SwiftError("The server did not start:\n" + "".join(seen[-20:]))
