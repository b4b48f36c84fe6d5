"""The mesh of processes that share a model's weights: its sizes, as the job's strategies ask for them, and its groups.

Neighbouring processes share the most: those of a `tensor` group each matrix product, those of a `shard` group the
weights of one copy of the model; the copies are `replicate`. Experts see the same processes in another order, as each
`expert` group holds all experts of a layer once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError
from swift_core.contract.components import Launcher, Parallel, declared
from swift_core.contract.job import Job

MESHES = "meshes"
"""Key of `job.memo`: the `Meshes` of the job, made once."""


@dataclass(frozen=True)
class Layout:
    """Sizes of the mesh: `replicate` × `shard` × `tensor` processes.

    expert: processes that share the experts of a layer; 1: each has them as it has every weight. split: whether the
    `shard` processes were asked to share weights; if not, `replicate` counts all that see rows of their own.
    """

    replicate: int
    shard: int
    tensor: int = 1
    expert: int = 1
    split: bool = False

    @property
    def data(self) -> int:
        """How many processes see rows of their own."""
        return self.replicate * self.shard

    @property
    def around(self) -> int:
        """Over how many processes the copies of one expert are split."""
        return (self.shard if self.split else self.data) * self.tensor // self.expert


@dataclass(frozen=True)
class Meshes:
    """The device meshes of a layout, for the dense weights and for those of experts."""

    layout: Layout
    dense: Any
    experts: Any

    @property
    def splitting(self) -> Any:
        """The mesh among which weights are split, of one dimension; of two where there are several copies."""
        return self.dense["shard"] if self.layout.replicate == 1 else self.dense["replicate", "shard"]

    @property
    def splitting_experts(self) -> Any:
        """As `splitting`, for the weights of experts."""
        whole = self.experts.size() == self.layout.around * self.layout.expert
        return self.experts["around"] if whole else self.experts["replicate", "around"]


def layout_of(job: Job, processes: int) -> Layout:
    """The layout that the job's strategies ask for. Raises SwiftError for sizes that do not go round."""
    asked: dict[str, int] = {}
    for item in job.many("parallel"):
        if isinstance(item.component, Parallel):
            asked |= item.component.mesh_sizes()
    tensor, expert = asked.get("tensor", 1), asked.get("expert", 1)
    data, rest = divmod(processes, tensor)
    if rest:
        raise SwiftError(f"--tensor_parallel_size {tensor} does not divide the {processes} processes of this job.")
    copies = asked.get("replicate", data)
    if data % copies:
        raise SwiftError(f"--hsdp {copies}: {data} processes with rows of their own do not make {copies} equal copies.")
    layout = Layout(copies, data // copies, tensor, expert, split="replicate" in asked)
    sharing = (layout.shard if layout.split else data) * tensor
    if expert > 1 and (sharing % expert or expert % tensor):
        raise SwiftError(
            f"--expert_parallel_size {expert} must divide the {sharing} processes that hold a copy of the model"
            + (f", and be a multiple of --tensor_parallel_size {tensor}." if tensor > 1 else ".")
        )
    return layout


def process_counts(job: Job) -> list[int]:
    """How many processes may share the job: those that run, or each number that its launcher may start.

    Empty where only the machines know, such as one process for each of their GPUs.
    """
    if "LOCAL_RANK" in os.environ:
        return [int(os.environ["WORLD_SIZE"])]
    if not job.many("launcher"):
        return []
    machines, each = declared(job.one("launcher"), Launcher, "layout")()
    least, _, most = machines.partition(":")
    if each is None or not (least + most).isdigit():
        return []
    return [each * count for count in range(int(least), int(most or least) + 1)]


def meshes_of(job: Job, device: Any) -> Meshes:
    """The job's meshes; every process must come here, once torch.distributed has begun."""
    if MESHES not in job.memo:
        from torch.distributed.device_mesh import init_device_mesh

        layout = layout_of(job, int(os.environ["WORLD_SIZE"]))
        sizes = (layout.replicate, layout.shard, layout.tensor)
        dense = init_device_mesh(device.type, sizes, mesh_dim_names=("replicate", "shard", "tensor"))
        experts = None
        if layout.expert > 1:
            copies = layout.data * layout.tensor // (layout.around * layout.expert)
            names = ("replicate", "around", "expert")
            experts = init_device_mesh(device.type, (copies, layout.around, layout.expert), mesh_dim_names=names)
        job.memo[MESHES] = Meshes(layout, dense, experts)
    meshes: Meshes = job.memo[MESHES]
    return meshes
