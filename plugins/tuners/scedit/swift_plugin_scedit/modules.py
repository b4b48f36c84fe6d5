"""The module that SCEdit adds."""

from __future__ import annotations

from typing import Any

import torch
from swift_plugin_runtime.loading.layers import precision_of
from swift_plugin_runtime.tuning.adapter_modules import bottleneck


class ScTuner(torch.nn.Module):
    """Adds T(x) to a skip connection x.

    on_output: x is what the host puts out. Otherwise x is what goes past the host, a block with a shortcut, and
    T(x) reaches the sum that the block puts out.
    """

    def __init__(self, width: int, size: int, host: Any, on_output: bool):
        super().__init__()
        self.on_output = on_output
        self.change = bottleneck(width, size, **precision_of(host))

    def forward(self, output: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """output, and x: [batch, tokens, width]. Returns their sum with T(x), the same shape."""
        return output + self.change(output if self.on_output else given)
