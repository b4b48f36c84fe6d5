"""A server of somebody else's in a process group of its own: it starts, is watched, and ends with us."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.job import Job
from swift_core.jobs.announce import say_model
from swift_core.jobs.steps import load_processor
from swift_core.system import end_group, own_group
from swift_plugin_serving.checkpoints import checkpoint_of, merged
from swift_plugin_serving.server import bind

WATCH = 'exec 3<&0; "$@" </dev/null & server=$!; (cat <&3 >/dev/null; kill 0) & wait $server'
"""Runs the server, and ends its process group when our end of the pipe closes: it cannot outlive us."""

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks without the proxies of the environment: they have nothing to do with a server of our own."""


def on_gpu() -> bool:
    """Whether there is an NVIDIA GPU, as far as its driver's tool is there."""
    return shutil.which("nvidia-smi") is not None


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    with bind("127.0.0.1", 0) as free:
        port: int = free.getsockname()[1]
    return port


class ServerProcess:
    """A server on 127.0.0.1 that answers `/health` with 200 once it is up.

    name: what the user calls it. command: its words. port: where it listens. key: what its clients send. variables:
    its whole environment. folder: a temporary one, removed in the end; the server runs in it. log: where it stays;
    left out, it goes with the folder.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        port: int,
        key: str,
        variables: dict[str, str],
        folder: Any,
        log: Path | None = None,
    ):
        self.name, self.url, self.key, self.folder = name, f"http://127.0.0.1:{port}", key, folder
        self.kept, self.log = log is not None, log or Path(folder.name, "server.log")
        with self.log.open("wb") as log_file:
            self.process = subprocess.Popen(
                ["sh", "-c", WATCH, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                env=variables,
                cwd=folder.name,
                **own_group(),
            )

    def wait(self, job: Job, timeout: float, option: str) -> None:
        """Until the server answers. option: the one that says how long that may take.

        Raises SwiftError with the end of its log if it dies or takes more than `timeout` seconds.
        """
        job.say(f"{self.name} is starting …")
        start = told = time.monotonic()
        while not self._healthy():
            self.check()
            now = time.monotonic()
            if now - start > timeout:
                raise SwiftError(f"{self.name} was not up after {timeout} s (--{option}). {self._tail()}")
            if now - told > 15:
                job.say(f"{self.name} is starting ({now - start:.0f} s): {self._lines(1)}")
                told = now
            time.sleep(0.3)

    def check(self) -> None:
        """SwiftError with the end of the log where the server has ended."""
        if self.process.poll() is not None:
            raise SwiftError(f"{self.name} ended with exit code {self.process.returncode}. {self._tail()}")

    def check_after_failure(self) -> None:
        """As `check`, for a server that may be about to end: a request of ours failed."""
        if not self._healthy():
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        self.check()

    def _healthy(self) -> bool:
        try:
            with DIRECT.open(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _tail(self) -> str:
        return f"The end of its log{f' {self.log}' if self.kept else ''}:\n{self._lines(25)}"

    def _lines(self, count: int) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-count:])

    def stop(self) -> None:
        """End every process of the group, and remove the folder, and with it the log where it is not kept."""
        if self.process.poll() is None:
            end_group(self.process.pid)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
        end_group(self.process.pid, at_once=True)  # engine processes that did not heed their parent's end
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        self.folder.cleanup()


@dataclass(frozen=True)
class Served:
    """A server that is up, and the checkpoint that it has loaded: its folder, its config and its processor."""

    process: ServerProcess
    path: str
    config: Any
    processor: Any


@contextmanager
def served(
    job: Job, name: str, start: Callable[[str, Any], ServerProcess], seconds: int, option: str
) -> Iterator[Served]:
    """A server over the job's checkpoint, with its adapters folded in where `--merge_lora` says so.

    name: of its temporary folder. start: starts the process on a checkpoint's folder; the temporary folder, its second
    argument, is the process's from then on. seconds: until it must be up; option: the one that says so. What goes
    wrong inside of the context ends the server; otherwise it runs on.
    """
    folder = tempfile.TemporaryDirectory(prefix=f"swift-{name}-")
    try:
        path = merged(job, folder.name) if job.options.merge_lora else checkpoint_of(job)
        process = start(path, folder)
    except BaseException:
        folder.cleanup()
        raise
    try:
        config = job.hook.load_config(job=job, path=path)
        processor = load_processor(job, path, config)
        say_model(job)
        process.wait(job, seconds, option)
        yield Served(process, path, config, processor)
    except BaseException:
        process.stop()
        raise
