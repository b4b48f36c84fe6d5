"""A checkpoint that is read in parts: each process reads its share of every weight, and none ever holds the whole.

transformers' loader reads no more than a process's part of a weight that is one of torch's distributed tensors. A
weight that is quantized on the way is read and packed whole, one at a time, and cut at once.

Until the model is split for training, each of its blocks gathers its weights while it runs: what tries the model before
that (rows end to end, a neutral adapter) finds one that works, in all processes at once. `join` then makes the weights
whole, block by block, for whoever splits them for good.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch

from swift_core import SwiftError
from swift_core.contract.components import Quantizer, Tuner, declared
from swift_core.contract.job import Job
from swift_plugin_runtime.options import splits_weights, zero_stage

STYLE, MESH = "swift_part", "fsdp"
"""The name of our way to share a weight, and that of the mesh among which it is: PEFT knows by it that layers stay as
wide as they are."""

PACKED = "swift_packed"
"""The attribute of a part of a packed weight that tells what it was: class, type, shape and what was noted on it."""

_OWNERS: WeakSet[Any] = WeakSet()
"""Modules that gather weights while they run: blocks, and what has weights outside of them."""

_APART: WeakKeyDictionary[Any, list[tuple[Any, str, Any]]] = WeakKeyDictionary()
"""Running module → (module, key, part) of each weight that it has gathered."""


def why_whole(job: Job, quantization: Any, task: str) -> str | None:
    """Why each process reads the whole checkpoint; None where it reads its part."""
    if not (splits_weights(job) or zero_stage(job) == 3) or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return "there is nothing to split them among"
    if task != "causal_lm" or job.options.new_special_tokens:
        return "weights are made anew while they load"
    if quantization is not None and not takes_parts(job):
        return "weights are packed while they load"
    if not all(declared(item.component, Tuner, "takes_parts") and item.folder is None for item in job.many("tuner")):
        return "a tuner looks at whole weights"
    return None if job.options.device in ("auto", _here()) else "it goes to another device than the accelerator"


def takes_parts(job: Job) -> bool:
    """Whether packed weights of the job's quantizer, if it has one, can be cut."""
    return all(declared(item.component, Quantizer, "takes_parts") for item in job.many("quantizer"))


def check_packed(job: Job, option: str) -> None:
    """SwiftError where `option` splits weights that the job's quantizer packs so that they cannot be cut."""
    if not takes_parts(job):
        title = job.many("quantizer")[0].entry.title
        raise SwiftError(
            f"{option} splits weights among processes, and {title} packs them, with these options, in a way that "
            f"cannot be split. Leave {option} out, or take 4 bits where it has them (--quant_bits 4)."
        )


def _here() -> str:
    accelerator = torch.accelerator.current_accelerator()
    return "cpu" if accelerator is None else accelerator.type


def reading(model_class: Any, config: Any) -> dict[str, Any]:
    """Arguments with which `from_pretrained` reads this process's part of each weight; `settle` the model then."""
    from torch.distributed.tensor import Shard, distribute_tensor
    from transformers.distributed import DistributedConfig
    from transformers.distributed.parallel_utils import ALL_PARALLEL_STYLES, replace_layer_number_by_wildcard
    from transformers.distributed.tensor_parallel import TensorParallelLayer

    class Part(TensorParallelLayer):
        """A weight is shared along its first dimension, and no module runs in another way."""

        def shard_param(self, module: Any, param: str, mesh: Any) -> None:
            whole = module._parameters.get(param)
            if whole is not None and whole.ndim:
                part = distribute_tensor(whole, mesh, [Shard(0)], src_data_rank=None)
                module._parameters[param] = torch.nn.Parameter(part, requires_grad=whole.requires_grad)

        def install_forward(self, module: Any, mesh: Any) -> Any:
            return module

    ALL_PARALLEL_STYLES.register(STYLE, Part())
    with torch.device("meta"):
        empty = model_class(config)
    names = {replace_layer_number_by_wildcard(name) for name, _ in empty.named_parameters(remove_duplicate=False)}
    plan = dict.fromkeys([*names, *(empty.tp_plan or {})], STYLE)
    return {"distributed_config": DistributedConfig(tp_size=int(os.environ["WORLD_SIZE"]), tp_plan=plan)}


def rearranges(model_class: Any, config: Any) -> bool:
    """Whether weights change along their first dimension while they load: then a part of what is stored is no part of
    the weight, and each is read whole (`cutting`). Experts that are gathered, each whole, are none of it.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import Concatenate, MergeModulelist

    with torch.device("meta"):
        empty = model_class(config)
    operations = [one for rule in get_model_conversion_mapping(empty) for one in getattr(rule, "operations", ())]
    kept = [isinstance(o, MergeModulelist) or (isinstance(o, Concatenate) and o.dim > 0) for o in operations]
    return not all(kept)


@contextlib.contextmanager
def cutting() -> Iterator[None]:
    """Inside, this process keeps its part of each weight that a module is given; `settle` the model then."""
    from torch.nn.modules.module import register_module_parameter_registration_hook

    mesh = _mesh(_here())

    def cut(module: Any, name: str, value: Any) -> Any:
        return None if value is None or value.is_meta or not value.ndim or is_part(value) else _part(value, mesh)

    handle = register_module_parameter_registration_hook(cut)
    try:
        yield
    finally:
        handle.remove()


def _mesh(device: str) -> Any:
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh(device, (int(os.environ["WORLD_SIZE"]),), mesh_dim_names=(MESH,))


def _part(value: Any, mesh: Any) -> Any:
    """This process's part of a weight, packed or not, with what is noted on it; it keeps no more in memory."""
    from torch.distributed.tensor import DTensor, Shard

    whole = as_floats(value).detach()
    chunks = whole.chunk(mesh.size())
    rank = mesh.get_local_rank()
    mine = chunks[rank].clone() if rank < len(chunks) else whole[:0].clone()
    facts = {"shape": whole.shape, "stride": whole.stride(), "run_check": False}
    part = torch.nn.Parameter(DTensor.from_local(mine, mesh, [Shard(0)], **facts), requires_grad=value.requires_grad)
    part.__dict__.update(value.__dict__)
    if not value.is_floating_point():
        setattr(part, PACKED, (type(value), value.dtype, value.shape, dict(value.__dict__)))
    return part


def _packed_again(part: Any, whole: torch.Tensor) -> Any:
    """The packed weight of which `part` was cut. whole: its bits as float32, [bytes ÷ 4, 1]."""
    kind, dtype, shape, noted = getattr(part, PACKED)
    again = torch.Tensor._make_subclass(kind, whole.contiguous().view(-1).view(dtype).view(shape), False)
    again.__dict__.update(noted)
    return again


def as_floats(value: Any) -> torch.Tensor:
    """A weight of any shape as it is, or the bits of a packed one as float32, [bytes ÷ 4, 1].

    torch's shards are of floats alone.

    Raises SwiftError where they make no whole float32.
    """
    if value.is_floating_point():
        return value
    if value.nbytes % 4:
        raise SwiftError(
            f"A packed weight of {value.nbytes} bytes cannot be split among processes: leave --fsdp or ZeRO 3 out."
        )
    return torch.Tensor(value.data).contiguous().view(-1).view(torch.float32)[:, None]


def settle(model: Any) -> None:
    """Let a model that was read in parts run, and take from it what would make transformers treat it as split."""
    for module in model.modules():
        if getattr(getattr(module, "config", None), "distributed_config", None) is not None:
            module.config.distributed_config = None
    model._tp_size = model._fsdp_size = model._device_mesh = model._mesh_manager = None
    model._is_distributed_loading_by_transformers = False
    model.init_parallel_plans()
    _rename_mesh(model)
    blocks = getattr(model, "_no_split_modules", None) or ()
    inside: set[Any] = set()
    for module in model.modules():
        if type(module).__name__ in blocks:
            inside |= {*module.modules()} - {module}
            _gathers(module)
    for module in model.modules():
        if module not in inside and module not in _OWNERS and any(map(is_part, module._parameters.values())):
            _gathers(module)


def _rename_mesh(model: Any) -> None:
    from torch.distributed.tensor import DTensor

    mesh = _mesh(model.device.type)
    named: dict[int, Any] = {}
    for module in model.modules():
        for key, value in module._parameters.items():
            if not isinstance(value, DTensor) or is_part(value):
                continue
            if id(value) not in named:
                facts = {"shape": value.shape, "stride": value.stride(), "run_check": False}
                part = DTensor.from_local(value.to_local().detach(), mesh, value.placements, **facts)
                named[id(value)] = value, torch.nn.Parameter(part, requires_grad=value.requires_grad)
            module._parameters[key] = named[id(value)][1]


def is_part(value: Any) -> bool:
    """Whether a weight is a part that `reading` made."""
    return getattr(getattr(value, "device_mesh", None), "mesh_dim_names", None) == (MESH,)


def join(module: Any, lifts: bool = False, joined: dict[int, Any] | None = None) -> None:
    """Make every weight below a module whole in place. All processes must call.

    lifts: weights that train become float32. joined: what was made of a part, for weights that are tied.
    """
    joined = {} if joined is None else joined
    for owner, key, part in list(_parts(module, all_below=True)):
        if id(part) not in joined:
            joined[id(part)] = part, _whole(part, lifts)
        owner._parameters[key] = joined[id(part)][1]


def _whole(part: Any, lifts: bool) -> Any:
    whole = part.full_tensor().detach()
    if hasattr(part, PACKED):
        return _packed_again(part, whole)
    return torch.nn.Parameter(whole.float() if lifts and part.requires_grad else whole, part.requires_grad)


def copy_of(model: Any) -> Any:
    """A copy of a model, whose weights may be parts: torch does not copy those with the modules."""
    found = {id(part): part for _, _, part in _parts(model, all_below=True)}
    memo = {key: torch.nn.Parameter(p.detach().clone(), requires_grad=p.requires_grad) for key, p in found.items()}
    return copy.deepcopy(model, memo)


def _parts(module: Any, all_below: bool = False) -> Iterator[tuple[Any, str, Any]]:
    """(module, key, weight) of the parts below a module; those of other owners too, where `all_below`."""
    waiting = [module]
    while waiting:
        found = waiting.pop()
        yield from ((found, key, value) for key, value in found._parameters.items() if is_part(value))
        waiting += [child for child in found.children() if all_below or child not in _OWNERS]


def _gathers(module: Any) -> None:
    _OWNERS.add(module)
    module.register_forward_pre_hook(_gather)
    module.register_forward_hook(_let_go, always_call=True)


def _gather(module: Any, _: Any) -> None:
    found = list(_parts(module))
    whole = {id(part): Whole.apply(part) for _, _, part in found}
    for owner, key, part in found:
        owner._parameters[key] = whole[id(part)]
    _APART[module] = found


class Whole(torch.autograd.Function):
    """A part as the whole weight; its gradient is this process's part of the mean over all processes."""

    @staticmethod
    def forward(ctx: Any, part: Any) -> torch.Tensor:
        """The weight, of the part's shape as a distributed tensor."""
        ctx.part = part
        whole: torch.Tensor = part.full_tensor()
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        from torch.distributed.tensor import distribute_tensor

        mean = gradient.contiguous().clone()
        torch.distributed.all_reduce(mean, group=ctx.part.device_mesh.get_group())
        mean /= ctx.part.device_mesh.size()
        return distribute_tensor(mean, ctx.part.device_mesh, ctx.part.placements, src_data_rank=None)


def _let_go(module: Any, *_: Any) -> None:
    for owner, key, part in _APART.pop(module, ()):
        owner._parameters[key] = part
