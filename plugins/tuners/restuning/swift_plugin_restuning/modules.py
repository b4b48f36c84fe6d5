"""The bypass of Res-Tuning, and how it listens to the blocks."""

from __future__ import annotations

import functools
from typing import Any

import torch
from swift_plugin_runtime.loading.layers import precision_of
from swift_plugin_runtime.tuning.adapter_modules import bottleneck


class Bypass(torch.nn.Module):
    """h_l = λ_l·T_l(x_l) + (1 − λ_l)·(h_{l−1} + V_l(h_{l−1})), h_0 = 0; the last h is added to the last block's output.

    x_l: what block l puts out, cut off from its gradient. T horizontal, V vertical tuners, both 0 at the start.
    """

    def __init__(self, width: int, size: int, depth: int, host: Any):
        super().__init__()
        precision = precision_of(host)
        made = [[bottleneck(width, size, **precision) for _ in range(depth)] for _ in range(2)]
        self.horizontal, self.vertical = (torch.nn.ModuleList(tuners) for tuners in made)
        self.mix = torch.nn.Parameter(torch.full((depth,), 0.5, **precision))
        self.features: dict[int, torch.Tensor] = {}

    def forward(self, output: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, width] to the same; `given` is not used."""
        features = {**self.features, len(self.horizontal) - 1: output.detach()}
        h = torch.zeros_like(output)
        for number, (across, along) in enumerate(zip(self.horizontal, self.vertical, strict=True)):
            h = self.mix[number] * across(features[number]) + (1 - self.mix[number]) * (h + along(h))
        return output + h


def listen(block: Any, number: int, bypass: Bypass) -> None:
    """Let `bypass` see what `block` puts out."""
    block.register_forward_hook(functools.partial(_hear, number, [bypass]))


def _hear(number: int, holder: list[Bypass], block: Any, args: Any, output: Any) -> None:
    holder[0].features[number] = (output[0] if isinstance(output, tuple) else output).detach()
