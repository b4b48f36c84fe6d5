"""Whether activations are kept for the backward pass or computed again: kept, unless the GPU cannot hold them.

Recomputing costs about a third of the time of a step, so it is done where memory asks for it alone. What a batch takes
is estimated from the shape of the model, as in Korthikanti et al. (arXiv 2205.05198), for attention that keeps no
[tokens, tokens] matrix.
"""

from __future__ import annotations

from typing import Any

import torch

from swift_core.contract.job import Job
from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.options import training_options
from swift_plugin_runtime.rounding import HALF
from swift_plugin_runtime.training.masters import BYTES, choose

GIB = 2**30

SPARE = 0.9
"""Share of the free memory that may be planned with; fragments and temporary tensors take the rest."""


def recomputes(job: Job, model: Any, longest: int | None) -> bool:
    """--gradient_checkpointing, else whether a batch of rows of `longest` tokens needs it on the model's GPU; says so.

    longest: None where it is not known; then nothing is recomputed.
    """
    asked = training_options(job).gradient_checkpointing
    if asked is not None or longest is None or model.device.type != "cuda" or job.objection("gradient_checkpointing"):
        return bool(asked)
    tokens = longest * training_options(job).per_device_train_batch_size
    kept = activation_bytes(base_of(model).config.get_text_config(), tokens, model.dtype.itemsize)
    free = SPARE * torch.cuda.mem_get_info(model.device)[0] - training_bytes(job, model)
    if kept > free:
        job.say(
            f"the activations of {tokens} tokens take about {kept / GIB:.1f} GiB, {free / GIB:.1f} GiB are free "
            "beside the model: they are computed again in the backward pass (--gradient_checkpointing false keeps them)"
        )
    return kept > free


def training_bytes(job: Job, model: Any) -> int:
    """What gradients, the two moments of AdamW and float32 masters take beside the weights that train."""
    return sum(training_parts(model, choose(job, model)[0]).values())


def training_parts(model: Any, where: str) -> dict[str, int]:
    """Bytes of `masters`, `gradients` and `optimizer` of the weights that train. where: as `choose` gives it."""
    parts = dict.fromkeys(BYTES[where], 0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            item = parameter.element_size()
            each = BYTES[where] if parameter.dtype in HALF else {"gradients": item, "optimizer": 2 * item}
            for name, size in each.items():
                parts[name] += parameter.numel() * size
    return parts


def activation_bytes(config: Any, tokens: int, item: int) -> int:
    """Bytes that the forward pass of a decoder keeps for the backward pass of `tokens` tokens of `item` bytes each.

    Per layer and token: the inputs and outputs of two norms, of the projections of attention, and of the gated MLP.
    """
    hidden, heads = config.hidden_size, config.num_attention_heads
    head = getattr(config, "head_dim", None) or hidden // heads
    keys = getattr(config, "num_key_value_heads", None) or heads
    inner = getattr(config, "moe_intermediate_size", None) or getattr(config, "intermediate_size", None) or 4 * hidden
    inner *= getattr(config, "num_experts_per_tok", None) or 1
    each = 8 * hidden + 4 * head * (heads + keys) + 4 * inner
    return int(config.num_hidden_layers * tokens * each * item)
