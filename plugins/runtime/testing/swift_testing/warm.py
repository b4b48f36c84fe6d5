"""`python`, `swift` and `pytest` that start warm: forks of a process that has imported torch and never trained.

A test that is about what a command does, not about how it starts, need not wait for the imports. Each command is a
process of its own, with its own arguments, environment, folder and streams; a signal to it reaches it. It sees
distributions that were installed since. `path` makes a folder to put first on PATH. A command that starts others
warm has them from the same process.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import site
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path

from swift_testing.libraries import let_torchvision_import

PRELOADED = ("swift_plugin_runtime.training.trainer", "swift_testing.contracts_model", "peft", "pytest", "datasets")
ADDRESS = "SWIFT_TESTING_WARM"
"""Variable that tells a warm command the address of the process that it is a fork of."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
CLIENT = """#!{python} -ISE
import array, json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
program = os.path.basename(sys.argv[0])
asked = json.dumps([program, sys.argv[1:], os.getcwd(), dict(os.environ), {python!r}, {site!r}]).encode()
streams = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
server.sendmsg([len(asked).to_bytes(4, "big")], streams)
server.sendall(asked)
child = int.from_bytes(server.recv(4, socket.MSG_WAITALL), "big")
for number in {signals!r}:
    signal.signal(number, lambda number, frame: os.kill(child, number))
code = int.from_bytes(server.recv(4, socket.MSG_WAITALL), "big", signed=True)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@functools.cache
def server() -> str:
    """The address of the warm process, started when it is first needed; it ends with the one that started it."""
    if known := os.environ.get(ADDRESS):
        return known
    address = str(Path(tempfile.mkdtemp(prefix="warm-"), "socket"))
    waiting, ready = os.pipe()
    command = [sys.executable, "-P", "-m", __name__, address]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=ready)
    os.close(ready)
    with os.fdopen(waiting, "rb") as said:
        assert said.readline() == b"ready\n"
    server.process = process  # type: ignore[attr-defined]
    return address


@functools.cache
def python() -> str:
    """The path of a `python` that starts warm."""
    return str(path(Path(tempfile.mkdtemp(prefix="warm-"))) / "python")


def path(folder: Path, venv: Path | None = None) -> Path:
    """Write `python`, `swift` and `pytest` into a folder; `venv`: an environment whose distributions they see too.

    Left out: the environment of this process, also where it is itself a fork that sees one more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    venv = venv or Path(sys.executable).parent.parent
    facts = {"address": server(), "signals": [int(s) for s in SIGNALS], "python": sys.executable, "site": ""}
    if venv != Path(sys.prefix):
        base = {"base": str(venv), "platbase": str(venv)}
        facts |= {"python": str(venv / "bin" / "python"), "site": sysconfig.get_path("purelib", vars=base)}
    for name in ("python", "swift", "pytest"):
        (folder / name).write_text(CLIENT.format(**facts))
        (folder / name).chmod(0o755)
    return folder


def main(address: str) -> None:
    """Import, then fork for everyone who asks, until the test process is gone."""
    let_torchvision_import()
    for module in PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a fork that looks for garbage would copy every page of it
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    os.write(1, b"ready\n")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if not os.fork():
        sys.stdin.buffer.read()  # its end
        os.kill(os.getppid(), signal.SIGTERM)
        os._exit(0)
    os.environ[ADDRESS] = address
    while True:
        client, _ = listening.accept()
        if not os.fork():
            listening.close()
            keep(client)
        client.close()


def keep(client: socket.socket) -> None:
    """Start what a client asks for, tell its number and then its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, control, *_ = client.recvmsg(4, socket.CMSG_SPACE(3 * 4))
    streams = array.array("i", control[0][2])
    asked = client.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
    child = os.fork()
    if not child:
        client.close()
        work(streams, *json.loads(asked))
    client.sendall(child.to_bytes(4, "big"))
    for stream in streams:
        os.close(stream)
    threading.Thread(target=end_with, args=(client, child), daemon=True).start()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        client.sendall(code.to_bytes(4, "big", signed=True))
    os._exit(0)


def end_with(client: socket.socket, child: int) -> None:
    """A client that is killed takes its command with it."""
    if not client.recv(1):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def work(
    streams: array.array[int],
    program: str,
    words: list[str],
    folder: str,
    environment: dict[str, str],
    python: str,
    more: str,
) -> None:
    """Be `program WORDS` in that folder and environment; never returns, and takes nothing apart at its end."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    lines = 1 if words[:1] == ["-u"] else -1
    sys.stdin, sys.stdout = os.fdopen(0, encoding="utf-8"), os.fdopen(1, "w", lines, encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace")
    os.setsid()
    os.chdir(folder)
    address = os.environ[ADDRESS]
    os.environ.clear()
    os.environ.update(environment, **{ADDRESS: address})
    sys.executable = python
    if more:
        site.addsitedir(more)
    sys.path[:0] = ["", *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    importlib.invalidate_caches()
    code: object = 0
    try:
        run(program, words)
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        code = -signal.SIGINT
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code if isinstance(code, int) else int(code is not None))


def run(program: str, words: list[str]) -> None:
    """What the interpreter does with `python WORDS`, or the program with its own."""
    words = words[1:] if words[:1] == ["-u"] else words
    if program == "python" and words[0] == "-c":
        sys.argv = words[:1] + words[2:]
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    elif program == "python" and words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif program == "python":
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
    else:
        sys.argv = [program, *words]
        runpy.run_module({"swift": "swift_core"}.get(program, program), run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
