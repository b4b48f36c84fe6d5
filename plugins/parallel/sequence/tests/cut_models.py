"""What the tests compute alone and in two processes: losses and gradients of tiny models on batches of every form."""

from __future__ import annotations

import functools
from typing import Any

import torch
import transformers

IGNORED = -100
SHAPES: dict[str, dict[str, Any]] = {
    "heads": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "one key head": {"num_attention_heads": 4, "num_key_value_heads": 1},
    "pieces": {"num_attention_heads": 3, "num_key_value_heads": 3, "hidden_size": 48, "head_dim": 16},
    "window": {"num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 5},
    "window in pieces": {
        "num_attention_heads": 3,
        "num_key_value_heads": 3,
        "hidden_size": 48,
        "head_dim": 16,
        "sliding_window": 5,
    },
}
"""Models whose attention heads go round in two processes, and models whose do not."""


def model_of(shape: str) -> Any:
    """A tiny Mistral with random weights, the same in every process."""
    plain = {"vocab_size": 210, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    config = transformers.MistralConfig(**{**plain, "sliding_window": None, **SHAPES[shape]})
    config._attn_implementation = "sdpa"
    torch.manual_seed(1)
    return transformers.MistralForCausalLM(config).float()


def batches() -> dict[str, tuple[dict[str, Any], Any]]:
    """Name → (inputs, labels): one row, rows end to end (also of odd length, one of one token), padded rows."""
    ids = torch.arange(1, 32)[None] * 5 % 200
    padded = torch.arange(1, 43).view(2, 21) * 3 % 200
    mask = torch.ones_like(padded)
    mask[1, 13:] = 0
    silent = ids.clone()
    silent[:, 14:] = IGNORED  # nothing is trained in one process's half
    return {
        "row": ({"input_ids": ids}, ids),
        "end to end": ({"input_ids": ids, "position_ids": _restarting(12, 19)}, ids),
        "odd": ({"input_ids": ids[:, :29], "position_ids": _restarting(9, 1, 19)}, ids[:, :29]),
        "padded": ({"input_ids": padded, "attention_mask": mask}, padded.masked_fill(mask == 0, IGNORED)),
        "one half": ({"input_ids": ids}, silent),
    }


def _restarting(*lengths: int) -> torch.Tensor:
    return torch.cat([torch.arange(n) for n in lengths])[None]


def learnt(model: Any, inputs: dict[str, Any], labels: Any) -> dict[str, Any]:
    """The loss of each trained token, and the gradient of every parameter by their sum."""
    from swift_plugin_runtime.training.trainer import token_losses

    model.zero_grad()
    losses, _ = token_losses(model, dict(inputs), labels)
    losses.sum().backward()
    return {"losses": losses.detach(), **{n: p.grad.clone() for n, p in model.named_parameters()}}


@functools.cache
def whole(shape: str) -> dict[str, dict[str, Any]]:
    """Batch → what one process learns from it."""
    model = model_of(shape)
    return {name: learnt(model, *batch) for name, batch in batches().items()}


def cut(shape: str) -> dict[str, dict[str, Any]]:
    """Batch → what the processes learn together: gradients as DDP averages them."""
    import torch.distributed as dist
    from swift_plugin_sequence.cut import share_rows

    if not dist.is_initialized():
        dist.init_process_group("gloo")
    model, found = model_of(shape), {}
    said = share_rows(model, torch.device("cpu"), dist.get_world_size())
    for name, batch in batches().items():
        found[name] = learnt(model, *batch)
        for key in (key for key in found[name] if key != "losses"):
            dist.all_reduce(found[name][key])
            found[name][key] /= dist.get_world_size()
    return {"said": said, **found}


def refused(kind: str) -> str:
    """Why a model cannot be cut."""
    from swift_plugin_sequence.cut import share_rows

    from swift_core.contract.errors import SwiftError

    model = model_of("heads")
    if kind == "looks back":  # each token also takes something of the one before it, outside of attention
        layer = model.model.layers[0].mlp
        layer.register_forward_hook(lambda _, __, out: out + 0.1 * out.roll(1, dims=1))
    if kind == "eager":
        model.set_attn_implementation("eager")
    try:
        return share_rows(model, torch.device("cpu"), 2)
    except SwiftError as error:
        return str(error)
