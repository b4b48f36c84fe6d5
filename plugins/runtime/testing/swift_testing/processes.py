"""Several processes that meet through gloo and stay: a test module starts them once and calls functions in all."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Client, Connection, Listener, wait
from typing import Any

from swift_testing import warm

PATIENCE = 120.0
"""Seconds that a call may take."""


class Processes:
    """`count` processes with a rank each, as a launcher starts them; leave the `with` block to end them."""

    def __init__(self, count: int = 2):
        self.pipes: list[Connection] = []
        self.running: list[subprocess.Popen[bytes]] = []
        port = _free_port()
        with Listener(family="AF_UNIX") as listening:
            for rank in range(count):
                words = map(str, [listening.address, rank, count, port, *sys.path])
                self.running.append(subprocess.Popen([warm.python(), "-m", __name__, *words]))
                self.pipes.append(listening.accept())

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> list[Any]:
        """What the function returns in each process, by rank. AssertionError with its traceback where one fails.

        function: of a module that can be imported by its name; what it takes and returns is pickled.
        """
        for pipe in self.pipes:
            _send(pipe, (function, arguments, named))
        waiting: dict[Any, int] = {pipe: rank for rank, pipe in enumerate(self.pipes)}
        answers: dict[int, Any] = {}
        while waiting:
            ready = wait(list(waiting), PATIENCE)
            if not ready:
                self._fail(f"processes {sorted(waiting.values())} have not answered for {PATIENCE:.0f} seconds.")
            for answering in ready:
                rank = waiting.pop(answering)
                answers[rank] = self._answer(rank, answering)
        return [answers[rank] for rank in sorted(answers)]

    def _answer(self, rank: int, pipe: Any) -> Any:
        try:
            well, answer = _received(pipe)
        except EOFError:
            self._fail(f"process {rank} ended.")
        if not well:
            self._fail(f"process {rank} failed:\n{answer}")
        return answer

    def _fail(self, reason: str) -> None:
        """The others may wait for the one that failed."""
        for running in self.running:
            running.kill()
        raise AssertionError(reason)

    def close(self) -> None:
        """End the processes."""
        for pipe, running in zip(self.pipes, self.running, strict=True):
            with contextlib.suppress(OSError):  # it is gone
                _send(pipe, None)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(10)
            running.kill()


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
