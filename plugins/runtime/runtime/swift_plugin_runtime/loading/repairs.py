"""Repairs of faults that code in checkpoints has, each named after what it mends. A family's own `patch_model` or
`load_processor` calls those that its code needs; nothing global is changed."""

from __future__ import annotations

import inspect
from typing import Any


def in_place_writes(model: Any, path: str) -> None:
    """Copies what the module at `path` returns, so that features may be written into it.

    Such code runs `embeddings[mask] = features`. Autograd refuses this on a leaf, and embeddings that were made to
    need gradients, as gradient checkpointing of adapters does, are leaves; a copy of one is not.
    """
    model.get_submodule(path).register_forward_hook(_copied)


def _copied(module: Any, inputs: Any, output: Any) -> Any:
    import torch

    return output.requires_grad_(True).clone() if torch.is_grad_enabled() else output


def rotary_precision(model: Any, kind: str = "RotaryEmbedding") -> None:
    """Gives queries and keys back in the dtype they came in: a rotation computed in float32 else meets values in
    half precision, and attention refuses to mix them. kind: how the class names of the modules end."""
    for module in model.modules():
        if type(module).__name__.endswith(kind):
            module.register_forward_hook(_in_dtype_of_inputs)


def _in_dtype_of_inputs(module: Any, inputs: Any, output: Any) -> Any:
    return tuple(out.to(given.dtype) for out, given in zip(output, inputs[:2], strict=True))


def padding_side(tokenizer: Any) -> Any:
    """The tokenizer, mended where its `_pad` was written before transformers handed it `padding_side` (ChatGLM's)."""
    pad = getattr(tokenizer, "_pad", None)
    if pad is not None and "padding_side" not in inspect.signature(pad).parameters:
        tokenizer._pad = lambda *given, padding_side=None, **named: pad(*given, **named)
    return tokenizer
