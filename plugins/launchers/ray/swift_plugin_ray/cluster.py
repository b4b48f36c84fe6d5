"""What runs on the cluster: a worker on each machine, which starts torchrun there and waits for its end.

Ray's own actors and placement groups serve, and not Ray Train: that runs the training in a thread of its worker, where
Python hears no signals, and opens the processes' meeting itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from swift_core import SwiftError

AGENT = "swift_plugin_torchrun.agent"
"""What a worker runs: torchrun, with an exit code that tells what happened."""

HANDED_OVER = (
    "SWIFT_", "HF_", "MODELSCOPE_", "NCCL_", "GLOO_", "TORCH_", "OMP_", "TOKENIZERS_", "WANDB_", "SWANLAB_",
    "PYTHONPATH",
)  # fmt: skip
"""How the names of variables begin that a worker gets from where the job is started."""

LOST = 1
"""Exit code of a worker that Ray lost."""


TOGETHER = 5.0
"""Seconds within which workers that fail by one cause are told."""


class Sizes(Protocol):
    """How much a job takes of the cluster: the options of the launcher."""

    nnodes: int
    gpus_per_node: int
    cpus_per_node: int
    ray_timeout: float


@contextmanager
def connected(address: str, cpus: int, gpus: int) -> Iterator[None]:
    """Inside, this process talks to a cluster; one that it started itself ends with the block.

    cpus, gpus: what a cluster of this machine alone must have. SwiftError where the cluster cannot be reached.
    """
    import ray

    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        here = {"num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        how: dict[str, Any] = {**here, **({"num_gpus": gpus} if gpus else {})}
    else:
        _check_reached(address)
        how = {"address": address}
    try:
        ray.init(**how, log_to_driver=True, logging_level="WARNING")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SwiftError(f"--ray_address {address}: no Ray cluster answers there ({error}).") from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_reached(address: str) -> None:
    """SwiftError where nobody listens at HOST:PORT; Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=20).close()
        except OSError as error:
            raise SwiftError(f"--ray_address {address}: no Ray cluster answers there ({error.strerror}).") from None


def run_once(sizes: Sizes, command: list[str], processes: int) -> tuple[int, str]:
    """Run `command` on `processes` processes of each worker; (exit code, what happened where it is not 0).

    Raises SwiftError where the cluster has no room for the workers.
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    bundle = {"CPU": sizes.cpus_per_node, **({"GPU": sizes.gpus_per_node} if sizes.gpus_per_node else {})}
    group = placement_group([bundle] * sizes.nnodes, strategy="SPREAD")
    try:
        if not group.wait(sizes.ray_timeout):
            raise SwiftError(
                f"Ray has no room for {sizes.nnodes} workers with {bundle} each within {sizes.ray_timeout:.0f} seconds "
                f"(--ray_timeout). It has {ray.cluster_resources()}."
            )
        return _run_in(group, sizes, command, processes)
    finally:
        remove_placement_group(group)


def _run_in(group: Any, sizes: Sizes, command: list[str], processes: int) -> tuple[int, str]:
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    make = ray.remote(Worker)
    workers = [
        make.options(
            num_cpus=sizes.cpus_per_node,
            num_gpus=sizes.gpus_per_node,
            max_concurrency=2,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number),
        ).remote(str(Path.cwd()), _variables())
        for number in range(sizes.nnodes)
    ]
    meeting = ray.get(workers[0].meeting.remote())
    words = ["--nnodes", str(sizes.nnodes), "--nproc_per_node", str(processes), "--max_restarts", "0", *meeting]
    running = {
        worker.run.remote([*words, "--node_rank", str(number), *command]): number
        for number, worker in enumerate(workers)
    }
    try:
        return _first_failure(running)
    finally:
        for worker in workers:
            with suppress(Exception):  # it may be lost
                ray.get(worker.end.remote(), timeout=60)
            ray.kill(worker)


def _first_failure(running: dict[Any, int]) -> tuple[int, str]:
    """Wait for all workers, or for the first that fails.

    Others fail with it, which may be told sooner: one that is lost or was killed counts before one with an error.
    """
    import ray

    while running:
        (done,), _ = ray.wait(list(running))
        ends = [_end_of(done, running.pop(done))]
        if not ends[0][0]:
            continue
        if running:
            also, _ = ray.wait(list(running), num_returns=len(running), timeout=TOGETHER)
            ends += [_end_of(other, running[other]) for other in also]
        return max(ends, key=lambda end: end[0] > 128 or "lost" in end[1])
    return 0, ""


def _end_of(done: Any, number: int) -> tuple[int, str]:
    """(exit code of a worker, what happened where it is not 0)."""
    import ray

    try:
        code = ray.get(done)
    except ray.exceptions.RayActorError:
        return LOST, f"worker {number} is lost"
    return code, f"worker {number} ended with exit code {code}" if code else ""


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(HANDED_OVER)}


class Worker:
    """On one machine: torchrun, as a process of its own that ends with this one."""

    def __init__(self, folder: str, variables: dict[str, str]):
        self.folder, self.variables = folder, variables
        self.running: subprocess.Popen[bytes] | None = None

    def meeting(self) -> list[str]:
        """torchrun's words for where the processes meet, on this machine."""
        import ray

        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        here = ray.get_runtime_context().get_node_id()
        address = next(node["NodeManagerAddress"] for node in ray.nodes() if node["NodeID"] == here)
        return ["--master_addr", address, "--master_port", str(port)]

    def run(self, words: list[str]) -> int:
        """The exit code of torchrun."""
        environment = {**os.environ, **self.variables}
        self.running = subprocess.Popen([sys.executable, "-m", AGENT, *words], cwd=self.folder, env=environment)
        return self.running.wait()

    def end(self) -> None:
        """End torchrun and its processes, if they still run."""
        if self.running is not None and self.running.poll() is None:
            self.running.terminate()  # it passes that on and waits for its processes
            self.running.wait()
