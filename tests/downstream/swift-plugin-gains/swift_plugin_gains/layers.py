"""The layers. Apart from the tuner, so that lists and help texts need no torch."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn


class Gain(nn.Module):
    """A layer whose output is scaled channel by channel."""

    def __init__(self, layer: nn.Linear, name: str):
        super().__init__()
        self.layer = layer
        self.gains = nn.ParameterDict({name: nn.Parameter(torch.zeros(layer.out_features))})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(x)
        for gain in self.gains.values():
            y = y * (1 + gain.to(y.dtype))
        return y


def wrap(model: Any, pattern: str, name: str) -> int:
    """Give every linear layer that fits a gain called `name`; how many there are."""
    found = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and re.search(pattern, n)]
    for where in found:
        place(model, where, Gain(model.get_submodule(where), name))
    return len(found)


def place(model: Any, where: str, module: nn.Module) -> None:
    """Put a module where another one is."""
    parent, _, last = where.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def gains(model: Any) -> dict[str, Gain]:
    """The gains of a model, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Gain)}
