"""Linear layers that store their weight in INT8, and hand its gradient on instead of keeping it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import pad


def quantize(weight: Any, size: int, generator: torch.Generator | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """(INT8 values in the weight's shape, one scale for each `size` entries). generator: round at random by it.

    Rounding at random goes up with the probability of the remainder, so that updates smaller than a step are kept
    on average (section 3.4 of the paper).
    """
    flat = weight.detach().float().flatten()
    rows = pad(flat, (0, -len(flat) % size)).view(-1, size)
    scales = (rows.abs().amax(dim=1) / 127).clamp(min=1e-12)
    levels = rows / scales[:, None]
    if generator is None:
        levels = levels.round()
    else:
        levels = (levels + torch.rand(levels.shape, generator=generator).to(levels.device)).floor()
    values = levels.clamp(-127, 127).to(torch.int8).flatten()[: len(flat)].view(weight.shape)
    return values, scales


def dequantize(values: Any, scales: Any, size: int) -> torch.Tensor:
    """The weight again, float32, in the shape of `values`. scales: [entries / size], rounded up."""
    flat = values.flatten().float()
    rows = pad(flat, (0, -len(flat) % size)).view(-1, size)
    return (rows * scales[:, None]).flatten()[: len(flat)].view(values.shape)


class Stored(torch.nn.Module):
    """One weight in INT8. consume: what is done with its gradient, set by the optimizer."""

    def __init__(self, weight: Any, size: int):
        super().__init__()
        values, scales = quantize(weight, size)
        self.size, self.dtype = size, weight.dtype
        self.consume: Callable[[torch.Tensor], None] | None = None
        self.values = torch.nn.Parameter(values, requires_grad=False)
        self.register_buffer("scales", scales)

    def whole(self) -> torch.Tensor:
        """The weight, float32. Shape [out, in]."""
        return dequantize(self.values, self.scales, self.size)

    def put(self, weight: Any, generator: torch.Generator | None = None) -> None:
        """Store another weight in the place of this one."""
        values, scales = quantize(weight.to(self.values.device), self.size, generator)
        self.values.data.copy_(values)
        self.scales.copy_(scales)

    def _save_to_state_dict(self, *_: Any) -> None:
        """Nothing: the layer writes a plain weight."""

    def _load_from_state_dict(self, *_: Any) -> None:
        """Nothing: the layer reads a plain weight."""


class Int8Linear(torch.nn.Linear):
    """A linear layer on a stored weight. To others its `weight` is a plain one, in checkpoints too."""

    stored: Stored

    @property
    def weight(self) -> torch.Tensor:
        """[out, in], made anew whenever it is asked for."""
        return self.stored.whole().to(self.stored.dtype)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[…, in] to […, out]."""
        anchor = torch.zeros((), device=input.device, requires_grad=True)  # a backward pass even for frozen inputs
        out = Product.apply(input, anchor, self.stored)
        return out if self.bias is None else out + self.bias

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self.weight
        if self.bias is not None:
            destination[f"{prefix}bias"] = self.bias if keep_vars else self.bias.detach()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *_: Any) -> None:
        self.stored.put(state_dict[f"{prefix}weight"])
        if self.bias is not None:
            self.bias.data.copy_(state_dict[f"{prefix}bias"])


class Product(torch.autograd.Function):
    """x·Wᵀ; the gradient of W goes to the optimizer at once."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, anchor: torch.Tensor, stored: Stored) -> torch.Tensor:
        """x: […, in]. anchor: a scalar that asks for a backward pass. Returns […, out]."""
        ctx.save_for_backward(x)
        ctx.stored = stored
        return x @ stored.whole().to(x.dtype).T

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, Any, None]:
        """gradient: […, out]. Returns the gradients of x, […, in], and of the anchor, a zero."""
        (x,) = ctx.saved_tensors
        of_input = gradient @ ctx.stored.whole().to(gradient.dtype)
        of_weight = gradient.flatten(0, -2).T @ x.flatten(0, -2)
        if ctx.stored.consume is not None:
            ctx.stored.consume(of_weight.float())
        return of_input, torch.zeros((), device=gradient.device), None


def store_as_int8(module: Any, size: int) -> Stored:
    """Let a linear layer store its weight in INT8 from now on."""
    weight = module._parameters.pop("weight")
    module.__class__ = Int8Linear
    module.stored = Stored(weight, size)
    return module.stored
