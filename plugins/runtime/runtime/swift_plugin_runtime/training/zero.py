"""ZeRO 3 of a model that was read in parts (`parts`): DeepSpeed takes the weights over block by block.

By itself DeepSpeed splits a model that each process holds whole. Here no process does: a block becomes whole, its
weights are given to DeepSpeed, which keeps this process's part of them, and then the next one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from typing import Any

import torch

from swift_plugin_runtime.training import parts

LEFT = "ACCELERATE_USE_DEEPSPEED"
"""What accelerate leaves in the environment: the next job of this process would run under DeepSpeed, unasked."""

PRECISIONS = {"bf16.enabled": torch.bfloat16, "fp16.enabled": torch.float16}


SIZES: dict[str, Callable[[int], int]] = {
    "reduce_bucket_size": lambda size: size * size,
    "stage3_prefetch_bucket_size": lambda size: int(0.9 * size * size),
    "stage3_param_persistence_threshold": lambda size: 10 * size,
}
"""Settings of ZeRO → their value from the width of the hidden states, as transformers has them."""


def fill_sizes(settings: Any, model: Any) -> None:
    """Fill in sizes that are `auto`: transformers finds no width in configurations that nest deeper (Qwen-Omni).

    settings: transformers' HfTrainerDeepSpeedConfig.
    """
    size = getattr(model.config.get_text_config(), "hidden_size", None)
    if size is None:
        return
    for name, rule in SIZES.items():
        settings.fill_only(f"zero_optimization.{name}", rule(size))


LEAVES = ("indexer",)
"""How names of modules end whose parts run as often as rows are long: sparse attention's indexer calls its norm for
each token, and processes that gather its weight each time would gather unequally often."""


def mark_leaves(model: Any) -> None:
    """Let ZeRO 3 gather all weights of such modules once, when they are entered."""
    deepspeed: Any = importlib.import_module("deepspeed")
    classes = {type(module) for name, module in model.named_modules() if name.endswith(LEAVES)}
    if classes:
        deepspeed.utils.set_z3_leaf_modules(model, list(classes))


def split(model: Any, settings: Any) -> str:
    """Give every weight of `model` to DeepSpeed in place; returns a line that says how much this process keeps.

    settings: transformers' HfDeepSpeedConfig with the job's precision filled in. All processes must call.
    """
    deepspeed: Any = importlib.import_module("deepspeed")  # a folder of this repository has its name, and no types

    precision = next((kind for name, kind in PRECISIONS.items() if settings.is_true(name)), None)
    zero = {key: value for key, value in settings.config["zero_optimization"].items() if value != "auto"}
    facts = {"train_micro_batch_size_per_gpu": 1, "zero_optimization": zero}
    blocks = getattr(model, "_no_split_modules", None) or ()
    for module in [*(m for m in model.modules() if type(m).__name__ in blocks), model]:
        parts.join(module)
        _cast(module, precision)
        deepspeed.zero.Init(module=module, dtype=precision, config_dict_or_path=facts)
    held = sum(p.ds_tensor.numel() for p in model.parameters())
    return f"ZeRO 3: this process holds {held} of {sum(p.ds_numel for p in model.parameters())} parameters"


def _cast(module: Any, precision: torch.dtype | None) -> None:
    """Weights that DeepSpeed has not taken yet get the type that it computes with; it changes none afterwards."""
    for parameter in module.parameters():
        if precision is not None and parameter.is_floating_point() and not hasattr(parameter, "ds_id"):
            parameter.data = parameter.data.to(precision)


def whole_weights(model: Any, only: Collection[str]) -> dict[str, Any]:
    """These tensors of a model that ZeRO 3 split, whole, by name, on the first process; empty on the others.

    All processes must call.
    """
    deepspeed: Any = importlib.import_module("deepspeed")

    state: dict[str, Any] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if name in only:
            with deepspeed.zero.GatheredParameters([value], enabled=hasattr(value, "ds_id")):
                state |= {name: value.detach().cpu().clone()} if torch.distributed.get_rank() == 0 else {}
    return state


def keep_norm(engine: Any) -> None:
    """Let an engine know the norm of the gradients that it clips: without ZeRO and in float32 it forgets it."""

    def clip() -> None:
        norm = torch.nn.utils.clip_grad_norm_(engine.module.parameters(), engine.gradient_clipping())
        engine._global_grad_norm = float(norm)

    engine.clip_fp32_gradients = clip


def forget() -> None:
    """Let transformers read a model as if there were no DeepSpeed, also after another job of this process."""
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()
