"""The plans by which transformers shares a model's products and experts, applied to a model that is loaded.

A plan names, for modules and weights, how each is shared: `colwise` weights make a part of the outputs, `rowwise` ones
take a part of the inputs and their results are summed. Adapters (LoRA) follow their layer: B is split as a `colwise`
layer's outputs are, A as a `rowwise` one's inputs. Embeddings and the head stay whole: the head computes its own loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.training import parts
from swift_plugin_runtime.training.mesh import Layout, Meshes
from swift_plugin_runtime.training.probe import check_same, made_up, probe, watched
from swift_plugin_runtime.training.sharding import held, policy, shard, whole_tensor

from swift_core import SwiftError

PROBE = 24
"""Tokens of the row by which the shared model is compared with the whole one."""

SUMMED = "replicated_with_grad_allreduce"
"""Style of a weight that every process has whole, and whose gradient is the sum of what their heads give."""

DISPATCHED = "ep_dispatch_experts"
"""Style of experts that are sent the tokens that chose them."""

ADAPTED = {"colwise": "lora_B", "rowwise": "lora_A"}
"""Style of a layer → which of its adapter's two matrices is shared in the same way."""

_CAUSE = "Something in it does not follow the plan of its class; leave the option out, or say --fsdp true instead."


@dataclass
class Shared:
    """What was shared so far: experts, which have a mesh of their own, and names of their weights."""

    layers: int = 0
    experts: list[Any] = field(default_factory=list)
    of_experts: set[str] = field(default_factory=set)


def share_products(model: Any, meshes: Meshes, gathered: torch.dtype | None) -> str:
    """Share a model's products and experts in place; returns a line that says how.

    Where nothing else splits the weights afterwards, their copies are kept the same from here on. gathered: as in
    `sharding.shard`. Raises SwiftError, with the reason, for a model that has no plan, whose heads do not go round, or
    that does not compute what it computed whole.
    """
    base, layout = base_of(model), meshes.layout
    rules = rules_of(base, layout)
    names, ids = watched(model), made_up(model, PROBE)
    whole = [whole_tensor(value) for value in probe(model, names, lambda: _outputs(model, ids))]
    shared = _apply(base, rules, meshes)
    found = probe(model, names, lambda: _outputs(model, ids))
    prefix = next(name for name, module in model.named_modules() if module is base)
    of_experts = {f"{prefix}.{name}".lstrip(".") for name in shared.of_experts}
    copies = layout.expert // layout.tensor  # of the row, all of which the experts have seen
    joined = [found[0]]
    for name, gradient in zip(names, found[1:], strict=True):
        joined.append(whole_tensor(gradient) / (copies if name in of_experts else 1))
    check_same(model, whole, joined, _said(layout), _CAUSE)
    for module in shared.experts:
        _split_experts(module, meshes, gathered)
    if not layout.split:
        shard(model, meshes.splitting, gathered)
    return (
        f"{_said(layout)}: {shared.layers} layers are shared, this process holds {held(model)} of "
        f"{sum(p.numel() for p in model.parameters())} parameters"
    )


def _said(layout: Layout) -> str:
    sizes = {"tensor": layout.tensor, "expert": layout.expert}
    return " ".join(f"--{name}_parallel_size {size}" for name, size in sizes.items() if size > 1)


def _outputs(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """The squares of what the model makes of a row: logits, scores or hidden states."""
    outputs = model(input_ids=ids, attention_mask=torch.ones_like(ids))
    found: torch.Tensor = outputs[0]
    return found.float().square()


# -- plans --------------------------------------------------------------------------------------------------
def rules_of(base: Any, layout: Layout) -> dict[str, str]:
    """Module or weight, with * for the number of a layer → its style, as the sizes ask for.

    Raises SwiftError where the model has no such plan, or its attention heads do not go round.
    """
    kinds = {"tensor": (layout.tensor, base.tp_plan), "expert": (layout.expert, base.ep_plan)}
    plans = {}
    for name, (size, plan) in kinds.items():
        plans[name] = dict(plan or {}) if size > 1 else {}
        if size > 1 and not plan:
            raise SwiftError(f"--{name}_parallel_size {size}: transformers has no plan for {type(base).__name__}.")
    owned = tuple(f"{name}." for name in plans["expert"])
    ends = {name for name, module in base.named_modules() if module in _embeddings(base)}
    tensor = {
        name: style
        for name, style in plans["tensor"].items()
        if name not in ends and name not in plans["expert"] and not name.startswith(owned)
    }
    if layout.tensor > 1:
        _check_heads(base, tensor, layout.tensor)
    return tensor | plans["expert"]


def _embeddings(base: Any) -> list[Any]:
    found = (base.get_input_embeddings(), base.get_output_embeddings())
    return [module for module in found if module is not None]


def _check_heads(base: Any, plan: dict[str, str], size: int) -> None:
    config = base.config.get_text_config()
    counts = {"attention heads": config.num_attention_heads}
    if any(name.endswith("k_proj") for name in plan):
        counts["key heads"] = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    for name, count in counts.items():
        if count % size:
            raise SwiftError(
                f"--tensor_parallel_size {size} does not divide the {count} {name} of {type(base).__name__}; take a "
                "size that does."
            )


# -- modules ------------------------------------------------------------------------------------------------
def _apply(base: Any, rules: dict[str, str], meshes: Meshes) -> Shared:
    from transformers.distributed.parallel_utils import replace_layer_number_by_wildcard

    shared = Shared()
    for name, module in list(base.named_modules()):
        plain = replace_layer_number_by_wildcard(name)
        style = rules.get(plain)
        weights = {key: rules.get(f"{plain}.{key}", style) for key in module._parameters}
        if style is None and not any(weights.values()):
            continue
        shared.layers += 1
        parts.join(module)
        if _is_adapted(module):
            _share_adapted(name, module, style, meshes)
        elif style == DISPATCHED:
            _share_experts(module, weights, meshes)
            shared.experts.append(module)
            shared.of_experts |= {f"{name}.{key}" for key in module._parameters}
        else:
            _share(base, module, style, weights, meshes.dense["tensor"])
    return shared


def _share(base: Any, module: Any, style: str | None, weights: dict[str, str | None], mesh: Any) -> None:
    from transformers.distributed.tensor_parallel import ALL_PARALLEL_STYLES

    if style == SUMMED:
        return _sum_gradients(module, mesh.get_group())
    for key, own in weights.items():
        if own is not None:
            ALL_PARALLEL_STYLES[own].validate_param(module, key, mesh, parameter_name=key)
            ALL_PARALLEL_STYLES[own].shard_param(module, key, mesh)
    if style == "mla_kv_a_proj":  # it reads there how wide the rotated part is
        module.config = base.config.get_text_config()
    if style is not None:
        ALL_PARALLEL_STYLES[style].install_forward(module, mesh)
    return None


def _share_experts(module: Any, weights: dict[str, str | None], meshes: Meshes) -> None:
    from transformers.distributed.tensor_parallel import ALL_PARALLEL_STYLES

    mesh, tensor = meshes.experts["expert"], meshes.dense["tensor"]
    for key, own in weights.items():
        if own not in (None, DISPATCHED):
            ALL_PARALLEL_STYLES[own].shard_param(module, key, mesh)
    ALL_PARALLEL_STYLES[DISPATCHED].install_forward(module, ep_mesh=mesh, tp_mesh=tensor, ep_implementation="auto")


def _is_adapted(module: Any) -> bool:
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    return isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper))


def _share_adapted(name: str, module: Any, style: str | None, meshes: Meshes) -> None:
    """Share a layer with LoRA beside it. SwiftError for other adapters, whose products are not known here."""
    from peft.tuners.lora import Linear
    from transformers.distributed.tensor_parallel import ALL_PARALLEL_STYLES

    if style not in ADAPTED or not isinstance(module, Linear) or module.lora_variant:
        kind = type(module).__name__
        raise SwiftError(
            f"{_said(meshes.layout)}: the adapter of {name} ({kind}) cannot be shared; LoRA of plain linear layers "
            "can (--tuner lora), and whole weights can (--tuner full)."
        )
    for part in (module.get_base_layer(), *getattr(module, ADAPTED[style]).values()):
        for key in list(part._parameters):
            ALL_PARALLEL_STYLES[style].shard_param(part, key, meshes.dense["tensor"])
        ALL_PARALLEL_STYLES[style].install_forward(part, meshes.dense["tensor"])


def _split_experts(module: Any, meshes: Meshes, gathered: torch.dtype | None) -> None:
    """Keep the copies of experts the same: each is split among the processes that have it.

    A gradient is the sum over the rows of all groups of experts; it becomes the mean over all rows.
    """
    from torch.distributed.fsdp import fully_shard

    fully_shard(module, mesh=meshes.splitting_experts, mp_policy=policy(gathered))
    module.set_gradient_divide_factor(float(meshes.layout.data))
    if meshes.layout.around > 1:  # other factors than the group's size are asked of NCCL alone
        module.set_force_sum_reduction_for_comms(True)


class SummedGradient(torch.autograd.Function):
    """A weight as it is; its gradient is the sum of those of a group of processes."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, group: Any) -> torch.Tensor:
        """The weight, of any shape."""
        ctx.group = group
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        total = gradient.contiguous()
        dist.all_reduce(total, group=ctx.group)
        return total, None


def _sum_gradients(module: Any, group: Any) -> None:
    """Sum the gradients of a module's own weights over a group, for each pass: transformers sums accumulated ones."""
    inner = module.forward

    def forward(*arguments: Any, **named: Any) -> Any:
        own = dict(module._parameters)
        module._parameters.update({key: SummedGradient.apply(p, group) for key, p in own.items() if p is not None})
        try:
            return inner(*arguments, **named)
        finally:
            module._parameters.update(own)

    module.forward = forward
