"""Ray: places one worker on each machine of a cluster, which runs torchrun there; what is lost starts anew."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Launcher
from swift_core.contract.job import Job

LOCAL = "local"
"""Value of --ray_address: a cluster of this machine alone, for the time of the job."""


@dataclass(kw_only=True, eq=False)
class Ray(Launcher):
    """Runs the job on a Ray cluster, or on one that it starts here; where a worker dies, all start anew."""

    swift_api = 1

    ray_address: str = option(
        LOCAL, "A cluster: HOST:PORT of its head, auto for the one that this machine is part of, local for a new one."
    )
    nnodes: int = option(1, "Workers, one on each machine as far as there are machines.", ge=1)
    nproc_per_node: int | None = option(None, "Processes of each worker; left out: one per GPU, or one.", ge=1)
    gpus_per_node: int = option(0, "GPUs that each worker takes of its machine.", ge=0)
    cpus_per_node: int = option(1, "CPUs that each worker takes of its machine.", ge=1)
    max_restarts: int = option(
        0, "How often all processes start anew, from the newest whole checkpoint, where one has died.", ge=0
    )
    ray_timeout: float = option(600.0, "Seconds to wait for the cluster to have room.", gt=0)

    @hookimpl
    def check_job(self, job: Job) -> None:
        """Refuse where Ray is not installed. Raises SwiftError."""
        if "LOCAL_RANK" not in os.environ and importlib.util.find_spec("ray") is None:
            raise SwiftError("--launcher ray: Ray is not installed here: pip install 'swift-plugin-ray[engine]'")

    @hookimpl
    def launch(self, job: Job, command: list[str]) -> int:
        from swift_plugin_ray.cluster import connected, run_once

        with connected(self.ray_address, self.nnodes * self.cpus_per_node, self.nnodes * self.gpus_per_node):
            code = 0
            for attempt in range(self.max_restarts + 1):
                again = ["--resume_from_checkpoint", "auto"] if attempt else []
                code, reason = run_once(self, [*command, *again], self.processes())
                if code == 0:
                    break
                left = self.max_restarts - attempt
                after = f"all start anew, {left} times at most" if left else "the job ends"
                job.say(f"Ray: {reason}; {after}")
        return code

    def layout(self) -> tuple[str, int | None]:
        """--nnodes, and the processes on each."""
        return str(self.nnodes), self.processes()

    def processes(self) -> int:
        """Processes of each worker."""
        return self.nproc_per_node or self.gpus_per_node or 1
