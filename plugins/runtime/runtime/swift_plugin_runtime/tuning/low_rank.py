"""LoRA on a plain linear layer in fewer passes over memory: what PEFT computes, in the precision of the layer.

PEFT widens a layer's input to the float32 of A and B and keeps it for their gradients, beside the narrow one that the
layer keeps, and sums its product and the layer's in passes of their own. Here A and B are narrowed instead, as under
autocast, the input is kept once, and the second product is added where the first one lies.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import nn
from torch.nn import functional


class QuickLinear(Linear):
    """PEFT's LoRA layer, whose forward pass is one function where nothing but x·Wᵀ + s·x·Aᵀ·Bᵀ is asked for."""

    def forward(self, x: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        """x: [..., inputs]. Returns [..., outputs]."""
        name = None if arguments or named else self.plain_adapter(x)
        if name is None:
            answer: torch.Tensor = super().forward(x, *arguments, **named)
            return answer
        low, high, base = self.lora_A[name], self.lora_B[name], self.base_layer
        made: torch.Tensor = _Sum.apply(x, base.weight, base.bias, low.weight, high.weight, self.scaling[name])
        return made

    def plain_adapter(self, x: torch.Tensor) -> str | None:
        """The one adapter that is on, if it and the layer are no more than matrices; else None. x: [..., inputs]."""
        if self.disable_adapters or self.merged or len(self.active_adapters) != 1:
            return None
        name = self.active_adapters[0]
        if name not in self.lora_A or name in self.lora_variant or type(self.lora_dropout[name]) is not nn.Identity:
            return None
        layers = self.base_layer, self.lora_A[name], self.lora_B[name]
        plain = all(_is_matrix(layer) for layer in layers) and layers[1].bias is None and layers[2].bias is None
        frozen = not any(p is not None and p.requires_grad for p in self.base_layer._parameters.values())
        known = x.dtype == self.base_layer.weight.dtype in (torch.bfloat16, torch.float32)
        return name if plain and frozen and known and not torch.is_autocast_enabled(x.device.type) else None


def _is_matrix(layer: nn.Module) -> bool:
    """Whether a layer is torch's own with a whole matrix, and nobody waits for its call or answers in its place."""
    watched = layer._forward_pre_hooks or layer._forward_hooks or layer._backward_hooks or layer._backward_pre_hooks
    if type(layer) is not nn.Linear or watched or "forward" in vars(layer):
        return False
    split = hasattr(layer.weight, "device_mesh")
    return layer.weight.dim() == 2 and not split


class _Sum(torch.autograd.Function):
    """x·Wᵀ + bias + s·x·Aᵀ·Bᵀ with gradients of x, A and B. a: [rank, inputs], b: [outputs, rank]."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, a: Any, b: Any, scaling: float) -> Any:
        rows = x.reshape(-1, x.shape[-1])
        low = rows @ a.to(x.dtype).T
        ctx.save_for_backward(x, weight, a, b, low)
        ctx.scaling = scaling
        made = functional.linear(rows, weight, bias)
        return made.addmm_(low, b.to(x.dtype).T, alpha=scaling).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, weight, a, b, low = ctx.saved_tensors
        rows, above = x.reshape(-1, x.shape[-1]), gradients[0].reshape(-1, len(weight))
        below = (above @ b.to(x.dtype)) * ctx.scaling
        asked = ctx.needs_input_grad
        of_x = (above @ weight).addmm_(below, a.to(x.dtype)).view(x.shape) if asked[0] else None
        of_a = (below.T @ rows).to(a.dtype) if asked[3] else None
        of_b = ((above.T @ low) * ctx.scaling).to(b.dtype) if asked[4] else None
        return of_x, None, None, of_a, of_b, None


def quicken(model: nn.Module) -> None:
    """Have every LoRA layer of PEFT on a plain linear layer of `model` compute as `QuickLinear`."""
    for module in model.modules():
        if type(module) is Linear:
            module.__class__ = QuickLinear
