"""The module that ReFT adds."""

from __future__ import annotations

from typing import Any

import torch
from swift_plugin_runtime.loading.layers import precision_of


class LoReft(torch.nn.Module):
    """h ↦ h + Rᵀ(W·h + b − R·h) for every token: equation 2 of arXiv 2404.03592.

    rotate: R [r, width], its rows orthonormal by construction. source: W [r, width] and b [r]. All in float32,
    in which alone torch keeps a matrix orthonormal.
    """

    def __init__(self, width: int, rank: int, host: Any):
        super().__init__()
        device = precision_of(host)["device"]
        self.source = torch.nn.Linear(width, rank, device=device, dtype=torch.float32)
        rotate = torch.nn.Linear(width, rank, bias=False, device=device, dtype=torch.float32)
        torch.nn.init.orthogonal_(rotate.weight)
        self.rotate = torch.nn.utils.parametrizations.orthogonal(rotate, orthogonal_map="householder")

    def forward(self, output: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, width] to the same, computed in float32; `given` is not used."""
        hidden = output.float()
        change = (self.source(hidden) - self.rotate(hidden)) @ self.rotate.weight
        return (hidden + change).to(output.dtype)
