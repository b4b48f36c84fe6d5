"""torchrun: PyTorch's elastic launcher starts one process per device and ends them together."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any, Literal

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Launcher
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Torchrun(Launcher):
    """Starts a job on several processes, on one machine or several; one that fails ends all, or all start anew."""

    swift_api = 1

    nproc_per_node: int | None = option(None, "Processes on this machine; left out: one per GPU.", ge=1)
    nnodes: int | str = option("1", "Machines, or the fewest and the most, as 1:4; run the same command on each.")
    node_rank: int = option(0, "Number of this machine, from 0.", ge=0)
    master_addr: str = option("127.0.0.1", "Address of machine 0.")
    master_port: int | None = option(
        None, "Port on machine 0; left out: a free one, or 29500 with several machines.", ge=1, le=65535
    )
    max_restarts: int = option(
        0, "How often all processes start anew, from the newest whole checkpoint, where one has died.", ge=0
    )
    rdzv_backend: Literal["static", "c10d", "etcd-v2"] | None = option(
        None, "How machines find each other; left out: c10d where they may come and go or start anew, else static."
    )
    rdzv_endpoint: str | None = option(None, "HOST:PORT where they do; left out: --master_addr and --master_port.")
    rdzv_id: str = option("swift", "Name of the job there.")

    @hookimpl
    def check_job(self) -> None:
        """Refuse numbers of machines that are none. Raises SwiftError."""
        least, most = self.machines()
        if not 1 <= least <= most:
            raise SwiftError(f"--nnodes {self.nnodes}: say how many machines, 2, or the fewest and the most, 1:4.")
        if self.node_rank >= most:
            raise SwiftError(f"--node_rank {self.node_rank}: of {most} machines the last is {most - 1}.")

    @hookimpl
    def launch(self, job: Job, command: list[str]) -> int:
        words = ["-m", "swift_plugin_torchrun.agent", *self.place(), "--nproc_per_node", str(self.processes())]
        least, most = self.machines()
        joins = least != most and not job.options.resume_from_checkpoint
        later = ["--resume_from_checkpoint", "auto"] if joins else []  # a machine may come when others have saved
        return _run_until_the_end([sys.executable, *words, *command, *later])

    def layout(self) -> tuple[str, int | None]:
        """--nnodes and --nproc_per_node. Raises SwiftError for machines that are no number."""
        self.check_job()
        return str(self.nnodes), self.nproc_per_node

    def meeting(self) -> str | None:
        """Where the machines meet; None for one alone."""
        if self.machines()[1] == 1 and self.rdzv_endpoint is None:
            return None
        return f"{self.rdzv_id} at {self.rdzv_endpoint or f'{self.master_addr}:{self.master_port or 29500}'}"

    def machines(self) -> tuple[int, int]:
        """The fewest and the most; (0, 0) where --nnodes is no such word."""
        matched = re.fullmatch(r"(\d+)(?::(\d+))?", str(self.nnodes))
        return (int(matched[1]), int(matched[2] or matched[1])) if matched else (0, 0)

    def processes(self) -> int:
        """How many processes this machine runs."""
        if self.nproc_per_node:
            return self.nproc_per_node
        import torch

        return max(1, torch.cuda.device_count())

    def place(self) -> list[str]:
        """torchrun's words for where the processes meet. Raises SwiftError where the port is in use."""
        alone = self.machines()[1] == 1 and self.rdzv_endpoint is None
        if alone and self.master_port is None:
            return ["--standalone", "--max_restarts", str(self.max_restarts)]
        port = self.master_port or 29500
        if self.node_rank == 0 and self.rdzv_endpoint is None:
            _check_port(port)
        words: dict[str, Any] = {"nnodes": self.nnodes, "max_restarts": self.max_restarts}
        backend = self.rdzv_backend or ("c10d" if self._comes_and_goes() else "static")
        if backend == "static":
            words |= {"node_rank": self.node_rank, "master_addr": self.master_addr, "master_port": port}
        else:
            endpoint = self.rdzv_endpoint or f"{self.master_addr}:{port}"
            words |= {"rdzv_backend": backend, "rdzv_endpoint": endpoint, "rdzv_id": self.rdzv_id}
            if backend == "c10d" and self.rdzv_endpoint is None:
                words["rdzv_conf"] = f"is_host={self.node_rank == 0}"
        return [word for key, value in words.items() for word in (f"--{key}", str(value))]

    def _comes_and_goes(self) -> bool:
        """Whether the processes meet more than once, or may be others: static addresses know neither."""
        least, most = self.machines()
        return least != most or self.max_restarts > 0 or self.rdzv_endpoint is not None


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that has just been left is free
        try:
            probe.bind(("", port))
        except OSError as error:
            raise SwiftError(f"--master_port {port} cannot be used: {error.strerror}. Choose another.") from None


def _run_until_the_end(words: list[str]) -> int:
    """The command's exit code. Whatever ends us, also SIGTERM, ends the command and its processes first.

    SIGUSR1, a scheduler's warning, is passed on.
    """
    running = subprocess.Popen(words)
    handlers = {"SIGTERM": _leave, "SIGUSR1": lambda number, _: running.send_signal(number)}
    numbers = {getattr(signal, name): handler for name, handler in handlers.items() if hasattr(signal, name)}
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handler) for number, handler in numbers.items()} if main else {}
    try:
        return running.wait()
    finally:
        if running.poll() is None:
            running.terminate()  # torchrun passes it on and waits for its processes
            running.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)
