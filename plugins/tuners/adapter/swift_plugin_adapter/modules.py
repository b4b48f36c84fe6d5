"""The module that adapters add."""

from __future__ import annotations

from typing import Any

import torch
from swift_plugin_runtime.loading.layers import precision_of
from swift_plugin_runtime.tuning.adapter_modules import bottleneck


class Bottleneck(torch.nn.Module):
    """y ↦ y + up(GELU(down(y))) on what the host puts out, [batch, tokens, width]."""

    def __init__(self, width: int, size: int, host: Any):
        super().__init__()
        self.change = bottleneck(width, size, **precision_of(host))

    def forward(self, output: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, width] to the same; `given` is not used."""
        return output + self.change(output)
