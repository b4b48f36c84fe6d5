"""Several processes that meet through gloo and stay: a test module starts them once and calls functions in all."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path
from typing import Any, NoReturn

from swift_testing import warm

PATIENCE = 120.0
"""Seconds that a start or a call may take."""

SHOWN = 4000
"""Bytes of a process's output, the last ones, that a failure shows."""


class Processes:
    """`count` processes with a rank each, as a launcher starts them; leave the `with` block to end them."""

    def __init__(self, count: int = 2):
        self.pipes: list[Connection] = []
        self.running: list[subprocess.Popen[bytes]] = []
        self.folder = tempfile.TemporaryDirectory(prefix="meet-", ignore_cleanup_errors=True)
        port = _free_port()
        with contextlib.ExitStack() as failing, socket.socket(socket.AF_UNIX) as listening:
            failing.callback(self.close)
            listening.bind(address := str(Path(self.folder.name, "socket")))
            listening.listen()
            listening.settimeout(0.1)
            for rank in range(count):
                self._start(rank, *map(str, [address, rank, count, port, *sys.path]))
                self.pipes.append(self._accept(rank, listening))
            failing.pop_all()

    def _output(self, rank: int) -> Path:
        """What a process printed."""
        return Path(self.folder.name, f"output-{rank}")

    def _start(self, rank: int, *words: str) -> None:
        command = [warm.python(), "-m", __name__, *words]
        with self._output(rank).open("wb") as output:
            self.running.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT))

    def _accept(self, rank: int, listening: socket.socket) -> Connection:
        """The pipe of a process that was just started. AssertionError where it ends before it connects."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            over = self.running[rank].poll() is not None  # asked first: it may connect, and then end
            with contextlib.suppress(TimeoutError):
                return Connection(listening.accept()[0].detach())
            if over:
                self._fail(f"process {rank} ended before it connected.", rank)
        self._fail(f"process {rank} has not connected for {PATIENCE:.0f} seconds.", rank)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> list[Any]:
        """What the function returns in each process, by rank. AssertionError with its traceback where one fails.

        function: of a module that can be imported by its name; what it takes and returns is pickled.
        """
        for rank, pipe in enumerate(self.pipes):
            try:
                _send(pipe, (function, arguments, named))
            except OSError:
                self._fail(f"process {rank} is gone.", rank)
        waiting: dict[Any, int] = {pipe: rank for rank, pipe in enumerate(self.pipes)}
        answers: dict[int, Any] = {}
        while waiting:
            ready = wait(list(waiting), PATIENCE)
            if not ready:
                silent = sorted(waiting.values())
                self._fail(f"processes {silent} have not answered for {PATIENCE:.0f} seconds.", *silent)
            for answering in ready:
                rank = waiting.pop(answering)
                answers[rank] = self._answer(rank, answering)
        return [answers[rank] for rank in sorted(answers)]

    def _answer(self, rank: int, pipe: Any) -> Any:
        try:
            well, answer = _received(pipe)
        except (EOFError, ConnectionResetError):  # the latter where it died with unread data in the pipe
            self._fail(f"process {rank} ended.", rank)
        if not well:
            self._fail(f"process {rank} failed:\n{answer}", rank)
        return answer

    def _fail(self, reason: str, *ranks: int) -> NoReturn:
        """With what these processes printed, and the code of each that ended. The others may wait for it: all end."""
        told = "".join(map(self._told, ranks))
        for running in self.running:
            running.kill()
        raise AssertionError(reason + told)

    def _told(self, rank: int) -> str:
        """What a process printed, and with which exit code it ended, if it did."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.running[rank].wait(0.1)
        output = self._output(rank)
        printed = output.read_bytes()[-SHOWN:].decode(errors="replace").strip() if output.exists() else ""
        code = self.running[rank].poll()
        ended = "" if code is None else f", which ended with {code}"
        return f"\nOutput of process {rank}{ended}:\n{printed or '(nothing)'}"

    def close(self) -> None:
        """End the processes."""
        for pipe in self.pipes:
            with contextlib.suppress(OSError):  # it is gone
                _send(pipe, None)
        for running in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(10)
            running.kill()
        self.folder.cleanup()


def _send(pipe: Connection, value: Any) -> None:
    """Pickled plainly: torch would share a tensor's memory instead, with a process that may be gone by then."""
    pipe.send_bytes(pickle.dumps(value))


def _received(pipe: Connection) -> Any:
    return pickle.loads(pipe.recv_bytes())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(address: str, rank: str, count: str, port: str, *path: str) -> None:
    """Be one of them: call what the test process asks for, until it asks for nothing."""
    sys.path[:] = path
    pipe = Client(address)
    place: dict[str, Any] = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    os.environ.update({name: str(value) for name, value in place.items()})
    while (asked := _received(pipe)) is not None:
        function, arguments, named = asked
        try:
            _send(pipe, (True, function(*arguments, **named)))
        except BaseException:  # whatever it is, the test tells it
            _send(pipe, (False, traceback.format_exc()))


if __name__ == "__main__":
    main(*sys.argv[1:])
