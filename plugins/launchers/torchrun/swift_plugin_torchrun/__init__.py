"""torchrun: PyTorch's elastic launcher starts one process per device and ends them together."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Launcher
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Torchrun(Launcher):
    """Starts a job on several processes, on one machine or several; a process that fails ends them all."""

    swift_api = 1

    nproc_per_node: int | None = option(None, "Processes on this machine; left out: one per GPU.", ge=1)
    nnodes: int = option(1, "Machines; run the same command on each, with its own --node_rank.", ge=1)
    node_rank: int = option(0, "Number of this machine, from 0.", ge=0)
    master_addr: str = option("127.0.0.1", "Address of machine 0.")
    master_port: int | None = option(
        None, "Port on machine 0; left out: a free one, or 29500 with several machines.", ge=1, le=65535
    )

    @hookimpl
    def launch(self, job: Job, command: list[str]) -> int:
        if self.node_rank >= self.nnodes:
            raise SwiftError(f"--node_rank {self.node_rank}: of {self.nnodes} machines the last is {self.nnodes - 1}.")
        words = ["-m", "swift_plugin_torchrun.agent", *self.place(), "--nproc_per_node", str(self.processes())]
        return _run_until_the_end([sys.executable, *words, *command])

    def processes(self) -> int:
        """How many processes this machine runs."""
        if self.nproc_per_node:
            return self.nproc_per_node
        import torch

        return max(1, torch.cuda.device_count())

    def place(self) -> list[str]:
        """torchrun's words for where the processes meet. Raises SwiftError where the port is in use."""
        if self.nnodes == 1 and self.master_port is None:
            return ["--standalone"]
        port = self.master_port or 29500
        if self.node_rank == 0:
            _check_port(port)
        words = {"nnodes": self.nnodes, "node_rank": self.node_rank, "master_addr": self.master_addr}
        return [word for key, value in {**words, "master_port": port}.items() for word in (f"--{key}", str(value))]


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that has just been left is free
        try:
            probe.bind(("", port))
        except OSError as error:
            raise SwiftError(f"--master_port {port} cannot be used: {error.strerror}. Choose another.") from None


def _run_until_the_end(words: list[str]) -> int:
    """The command's exit code. Whatever ends us, also SIGTERM, ends the command and its processes first."""
    running = subprocess.Popen(words)
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _leave) if main else None
    try:
        return running.wait()
    finally:
        if running.poll() is None:
            running.terminate()  # torchrun passes it on and waits for its processes
            running.wait()
        if main:
            signal.signal(signal.SIGTERM, before)


def _leave(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)
