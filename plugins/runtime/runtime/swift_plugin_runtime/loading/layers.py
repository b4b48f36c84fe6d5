"""Where the blocks of a language model sit, whatever its class."""

from __future__ import annotations

import inspect
from typing import Any

from swift_core import SwiftError
from swift_core.contract.job import Job

WRAPPERS = {
    "OptimizedModule": "_orig_mod", "DistributedDataParallel": "module", "DataParallel": "module",
    "FullyShardedDataParallel": "module", "DeepSpeedEngine": "module",
}  # fmt: skip
"""Class that torch.compile, torch.distributed or DeepSpeed puts around a model → where the model is in it."""


def unwrapped(model: Any) -> Any:
    """The model inside a wrapper of torch.distributed or torch.compile, which may be there or not.

    accelerate's function for it also looks at every module in the model, which each step would pay for.
    """
    while inner := next((WRAPPERS[c.__name__] for c in type(model).__mro__ if c.__name__ in WRAPPERS), None):
        model = getattr(model, inner)
    return model


def base_of(model: Any) -> Any:
    """The model inside a wrapper of torch.distributed and the adapters of PEFT, which may be there or not."""
    model = unwrapped(model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def keeps_logits(model: Any) -> bool:
    """Whether the model's forward makes logits for chosen positions alone (`logits_to_keep`)."""
    outer = getattr(model, "module", model)
    if getattr(getattr(outer, "active_peft_config", None), "is_prompt_learning", False):
        return False  # its virtual tokens shift every position
    return "logits_to_keep" in inspect.signature(type(base_of(model)).forward).parameters


def decoder_layers(job: Job | None, model: Any) -> tuple[str, Any]:
    """(dotted path, list) of the decoder blocks of the language model. SwiftError where there is none to find."""
    import torch

    inside = _language_model(job, model)
    depth = depth_of(model)
    for path, module in model.named_modules():
        plain = f"{path.removeprefix('base_model.model.')}."
        if isinstance(module, torch.nn.ModuleList) and len(module) == depth and plain.startswith(inside):
            return path, module
    raise SwiftError(f"{type(model).__name__} has no list of {depth} decoder layers.")


def depth_of(model: Any) -> int:
    """Decoder blocks by the model's config. Raises SwiftError where the model has no such config."""
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "get_text_config"):
        raise SwiftError(f"{type(model).__name__} has no config that says where its layers are; name the modules.")
    return int(config.get_text_config().num_hidden_layers)


def _language_model(job: Job | None, model: Any) -> tuple[str, ...]:
    """Prefixes of the modules that make the language model: from the card, else where its decoder sits."""
    if job is not None and job.many("model"):
        return tuple(f"{prefix}." for prefix in job.card.modules.language_model)
    inner = base_of(model)
    decoder = inner.get_decoder() if hasattr(inner, "get_decoder") else inner
    return tuple(f"{path}." for path, module in inner.named_modules() if module is decoder and path) or ("",)


def width_of(model: Any, host: Any) -> int:
    """Channels of what `host` puts out: the model's hidden size, else the width of the host's last linear layer.

    Raises SwiftError where neither is known.
    """
    config: Any = getattr(model, "config", None)
    if hasattr(config, "get_text_config"):
        return int(config.get_text_config().hidden_size)
    widths = [m.out_features for m in host.modules() if hasattr(m, "out_features")]
    if not widths:
        raise SwiftError(f"{type(host).__name__}: how wide is its output? It holds no linear layer.")
    return int(widths[-1])


def precision_of(host: Any) -> dict[str, Any]:
    """Device and type for a module that works beside `host`: those of its first weight that is not quantized."""
    import torch

    floating = next((p for p in host.parameters() if p.is_floating_point() and p.element_size() > 1), None)
    if floating is None:
        return {"device": next(host.parameters()).device, "dtype": torch.float32}
    return {"device": floating.device, "dtype": floating.dtype}
