"""Tensor and expert parallelism: processes share each matrix product, and the experts of a layer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Parallel
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Tensor(Parallel):
    """Each matrix product, or the experts of a layer, are shared among processes (Megatron-LM, arXiv 1909.08053)."""

    swift_api = 1
    splits_weights = True
    limits_of = ("fsdp",)
    capabilities = {
        "deepspeed": Unsupported("DeepSpeed splits weights by a plan of its own; --fsdp true goes beside it."),
        "sequence": Unsupported("both share the attention heads among neighbouring processes; choose one."),
    }

    tensor_parallel_size: int = option(1, "Processes that share each matrix product.", ge=1)
    expert_parallel_size: int = option(1, "Processes that share the experts of each layer.", ge=1)

    @property
    def active(self) -> bool:  # type: ignore[override]  # it depends on the options
        """Whether anything is shared."""
        return self.tensor_parallel_size > 1 or self.expert_parallel_size > 1

    def mesh_sizes(self) -> dict[str, int]:
        """The sizes that the options name."""
        return {"tensor": self.tensor_parallel_size, "expert": self.expert_parallel_size}

    @hookimpl
    def check_job(self, job: Job) -> None:
        """Refuse sizes that cannot be, as soon as the number of processes is known."""
        from swift_plugin_runtime.training.mesh import layout_of, process_counts

        for processes in process_counts(job):
            layout_of(job, processes)
        if not (job.options.launcher or "LOCAL_RANK" in os.environ):
            raise SwiftError(
                "--tensor_parallel_size and --expert_parallel_size share a model among processes; say how many: "
                "--launcher torchrun."
            )

    @hookimpl
    def data_share(self) -> tuple[int, int]:
        size = self.tensor_parallel_size
        return int(os.environ["RANK"]) // size, int(os.environ["WORLD_SIZE"]) // size

    @hookimpl
    def split_model(self, job: Job, model: Any, device: Any) -> str:
        from swift_plugin_runtime.training.mesh import meshes_of
        from swift_plugin_runtime.training.sharding import GATHERED

        from swift_plugin_tensor.plans import share_products

        return share_products(model, meshes_of(job, device), job.memo.get(GATHERED))
