"""FSDP2: every process holds a part of each weight, gradient and optimizer state (torch's fully_shard)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Parallel
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Fsdp(Parallel):
    """Parameters, gradients and optimizer state are split among processes (FSDP2, arXiv 2304.11277)."""

    swift_api = 1
    splits_weights = True
    capabilities = {"deepspeed": Unsupported("both split the model among processes; choose one.")}

    fsdp: bool = option(False, "Shard parameters, gradients and optimizer state with FSDP2.")
    hsdp: int = option(1, "With --fsdp: copies of the model, each split among its share of the processes.", ge=1)

    @property
    def active(self) -> bool:  # type: ignore[override]  # it depends on the options
        """Whether the model is split."""
        return self.fsdp or self.hsdp > 1

    def mesh_sizes(self) -> dict[str, int]:
        """The number of copies; the processes of a copy share its weights."""
        return {"replicate": self.hsdp}

    @hookimpl
    def check_job(self, job: Job) -> None:
        """Refuse to split a model among processes where there is one only, or into copies that are not equal."""
        from swift_plugin_runtime.training.mesh import layout_of, process_counts
        from swift_plugin_runtime.training.parts import check_packed

        if not self.fsdp:
            raise SwiftError(f"--hsdp {self.hsdp} says how many copies of the model --fsdp splits; say --fsdp true.")
        for processes in process_counts(job):
            layout_of(job, processes)
        if not (job.options.launcher or "LOCAL_RANK" in os.environ):
            raise SwiftError("--fsdp splits the model among processes; say how many: --launcher torchrun.")
        check_packed(job, "--fsdp")

    @hookimpl(trylast=True)  # what else changes the model sees it whole
    def split_model(self, job: Job, model: Any, device: Any) -> str:
        from swift_plugin_runtime.training.mesh import meshes_of
        from swift_plugin_runtime.training.sharding import GATHERED, shard

        return shard(model, meshes_of(job, device).splitting, job.memo.get(GATHERED))
