"""A model whose weights are split among several processes (torch's fully_shard, arXiv 2304.11277), and its state."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from swift_plugin_runtime.training import parts

GATHERED = "gathered weights"
"""Key of `job.memo`: the type in which weights are gathered where their shards are float32 masters, or None."""


def policy(gathered: torch.dtype | None) -> Any:
    """How the shards of float32 masters are gathered and computed with in a type; None: as they are."""
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return MixedPrecisionPolicy(param_dtype=gathered, reduce_dtype=torch.float32 if gathered else None)


def shard(model: Any, mesh: Any, gathered: torch.dtype | None = None) -> str:
    """Split every parameter of `model` in place among the processes of `mesh`; returns a line that says how.

    Each of the model's blocks gathers its weights while it runs; the rest belongs to the whole. Gradients and
    optimizer state are split in the same way. mesh: of one dimension, or of two: the weights are then split among the
    second, and the first has copies, whose gradients are averaged. gathered: the type in which weights are gathered
    and computed with, where the shards are float32 masters; gradients are summed in float32.
    """
    from torch.distributed.fsdp import fully_shard

    blocks = getattr(model, "_no_split_modules", None) or ()
    for module in reversed([*model.modules()]):  # a block within another one comes first
        if type(module).__name__ in blocks:
            parts.join(module, lifts=gathered is not None)
            _unpack(module)
            fully_shard(module, mesh=mesh, mp_policy=policy(gathered))
    parts.join(model, lifts=gathered is not None)
    _unpack(model)
    fully_shard(model, mesh=mesh, mp_policy=policy(gathered))
    return f"FSDP2: this process holds {held(model)} of {sum(p.numel() for p in model.parameters())} parameters"


def _unpack(module: Any) -> None:
    """Packed weights below a module become float32 of the same bits, in place."""
    for owner in module.modules():
        for name, value in owner._parameters.items():
            if value is not None and not value.is_floating_point():
                owner._parameters[name] = torch.nn.Parameter(parts.as_floats(value), requires_grad=False)


def held(model: Any) -> int:
    """How many entries of the model's parameters this process holds."""
    return sum(_local(p).numel() for p in model.parameters())


def _local(tensor: Any) -> Any:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _by_mesh(tensors: Iterable[Any], of: Callable[[Any], Any]) -> list[list[Any]]:
    parts: dict[Any, list[Any]] = {}
    for tensor in tensors:
        parts.setdefault(getattr(of(tensor), "device_mesh", None), []).append(tensor)
    return list(parts.values())


def group_by_mesh(optimizer: Any) -> None:
    """Part the parameter groups of an optimizer in place: torch takes no step on weights of several meshes at once."""
    parted = []
    for group in optimizer.param_groups:
        parted += [{**group, "params": part} for part in _by_mesh(group["params"], lambda p: p)] or [group]
    optimizer.param_groups[:] = parted


def clip_gradients(parameters: Iterable[Any], largest: float) -> torch.Tensor:
    """Scale gradients, of whatever meshes, so that their common norm is at most `largest`.

    Returns the norm before, a scalar.
    """
    parts = _by_mesh([p for p in parameters if p.grad is not None], lambda p: p.grad)
    norms = [whole_tensor(torch.nn.utils.get_total_norm([p.grad for p in part])) for part in parts]
    norm = torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())
    for part in parts:
        torch.nn.utils.clip_grads_with_norm_(part, largest, norm)
    return norm


def whole_tensor(tensor: Any) -> torch.Tensor:
    """A tensor, of its shape, also where the processes hold parts of it; all must call then."""
    whole: torch.Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole


def leave_whole(accelerator: Any) -> None:
    """Keep accelerate from wrapping a model that is split already; mixed precision still applies."""
    accelerator.prepare_model = functools.partial(accelerator.prepare_model, evaluation_mode=True)


def _whole() -> Any:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(full_state_dict=True, cpu_offload=True)


def whole_weights(model: Any, only: Collection[str] | None = None) -> dict[str, Any]:
    """The state of a split model in whole tensors, on the first process; empty on the others. All must call.

    only: names of the tensors that are wanted; None: all of them.
    """
    from torch.distributed.checkpoint.state_dict import get_model_state_dict

    if only is not None:
        held = {name: value for name, value in model.state_dict().items() if name in only}
        whole = ((name, whole_tensor(value.detach())) for name, value in held.items())
        first_process = torch.distributed.get_rank() == 0
        return {name: value.cpu() for name, value in whole if first_process}
    state: dict[str, Any] = get_model_state_dict(model, options=_whole())
    first: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        tied = first.setdefault(id(parameter), name)
        if name in state and tied in state:
            state[name] = state[tied]  # one tensor, which is written once
    return state


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
