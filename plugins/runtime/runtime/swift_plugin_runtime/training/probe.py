"""The proof that a model whose work is shared among processes computes what it computed whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from swift_core import SwiftError
from swift_plugin_runtime.loading.layers import base_of

NOISE = {torch.float32: 1e-4, torch.float64: 1e-6}
"""Largest relative difference of a loss or gradient that rounding explains; of 16-bit weights 0.1."""

WATCHED = 16
"""Gradients that are compared."""


def watched(model: Any) -> list[str]:
    """Names of some of the parameters that train, from the first to the last."""
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    return names[:: max(1, len(names) // WATCHED)]


def made_up(model: Any, tokens: int) -> torch.Tensor:
    """Ids of `tokens` tokens that the model knows, shape [1, tokens]; the same in every process."""
    count = model.get_input_embeddings().weight.shape[0]
    return (torch.arange(tokens, device=model.device) * 7 % (count - 1))[None] + 1


def probe(model: Any, names: list[str], values: Callable[[], torch.Tensor]) -> list[torch.Tensor]:
    """What `values` computes by the model, without dropout, then the gradients of its sum by the named parameters.

    Each gradient has the shape of its parameter, or of this process's part of it; zero where there is none. values:
    returns a tensor of any shape.
    """
    parameters = dict(model.named_parameters())
    wanted = [parameters[name] for name in names]
    trains = model.training
    model.eval()
    try:
        with torch.set_grad_enabled(bool(wanted)):
            found = values()
        gradients = torch.autograd.grad(found.sum(), wanted, allow_unused=True) if wanted else ()
    finally:
        model.train(trains)
    return [found.detach(), *(p.new_zeros(()) if g is None else g for g, p in zip(gradients, wanted, strict=True))]


def check_same(model: Any, whole: list[torch.Tensor], shared: list[torch.Tensor], option: str, cause: str) -> None:
    """SwiftError where what `probe` gave of the shared model is not what it gave of the whole one.

    shared: whole tensors, of the shapes of `whole`. option: what asked for the sharing, with its value; cause: what
    the difference may come of, a sentence.
    """
    worst = max(_difference(one, other) for one, other in zip(whole, shared, strict=True))
    if not worst <= NOISE.get(next(model.parameters()).dtype, 0.1):
        raise SwiftError(
            f"{option} is not possible here: {type(base_of(model)).__name__} as it is trained here has other losses or "
            f"gradients then (by {worst:.1g}). {cause}"
        )


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, relative to the largest value."""
    largest = float(one.float().abs().max())
    return float((one.float() - other.float()).abs().max()) / max(largest, 1e-6)
