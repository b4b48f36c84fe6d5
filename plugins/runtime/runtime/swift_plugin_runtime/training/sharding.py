"""A model whose weights are split among several processes (torch's fully_shard, arXiv 2304.11277), and its state."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

GATHERED = "gathered weights"
"""Key of `job.memo`: the type in which weights are gathered where their shards are float32 masters, or None."""


def shard(model: Any, device: torch.device, gathered: torch.dtype | None = None) -> str:
    """Split every parameter of `model` in place among all processes; returns a line that says how.

    Each of the model's blocks gathers its weights while it runs; the rest belongs to the whole. Gradients and
    optimizer state are split in the same way. gathered: the type in which weights are gathered and computed with,
    where the shards are float32 masters; gradients are summed in float32.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    from torch.distributed.tensor import DTensor

    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    policy = MixedPrecisionPolicy(param_dtype=gathered, reduce_dtype=torch.float32 if gathered else None)
    blocks = getattr(model, "_no_split_modules", None) or ()
    for module in model.modules():
        if type(module).__name__ in blocks:
            fully_shard(module, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    held = sum(p.to_local().numel() for p in model.parameters() if isinstance(p, DTensor))
    return f"FSDP2: this process holds {held} of {sum(p.numel() for p in model.parameters())} parameters"


def leave_whole(accelerator: Any) -> None:
    """Keep accelerate from wrapping a model that is split already; mixed precision still applies."""
    accelerator.prepare_model = functools.partial(accelerator.prepare_model, evaluation_mode=True)


def _whole() -> Any:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(full_state_dict=True, cpu_offload=True)


def whole_weights(model: Any) -> dict[str, Any]:
    """The state of a split model in whole tensors, on the first process; empty on the others. All must call."""
    from torch.distributed.checkpoint.state_dict import get_model_state_dict

    return get_model_state_dict(model, options=_whole())


def whole_optimizer(model: Any, optimizer: Any) -> dict[str, Any]:
    """The state of a split optimizer in whole tensors by parameter name. All processes must call."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    return get_optimizer_state_dict(model, optimizer, options=_whole())


def load_optimizer(model: Any, optimizer: Any, state: dict[str, Any]) -> None:
    """Give each process its part of a state that `whole_optimizer` returned."""
    from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict

    set_optimizer_state_dict(model, optimizer, state, options=_whole())


def load_weights(model: Any, state: dict[str, Any]) -> None:
    """Give each process its part of whole tensors; weights that `state` does not name stay as they are."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    set_model_state_dict(model, state, options=StateDictOptions(full_state_dict=True, strict=False))


@contextmanager
def answering(owner: Any, **methods: Any) -> Iterator[None]:
    """Inside, methods of this one object are replaced: whoever saves it sees whole tensors."""
    for name, method in methods.items():
        setattr(owner, name, method)
    try:
        yield
    finally:
        for name in methods:
            delattr(owner, name)
