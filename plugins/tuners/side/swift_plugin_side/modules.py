"""The side network, and how it sees what the model is given."""

from __future__ import annotations

import functools
from typing import Any

import torch
from swift_plugin_runtime.loading.layers import precision_of


class SideNetwork(torch.nn.Module):
    """Blends the last block's output B with S(e), e the embedded input: α·B + (1 − α)·S(e), α = σ(balance).

    S starts at 0 and α at a half. The model's last normalisation takes the factor out again, so the blended
    model starts as the frozen one (to the normalisation's ε).
    """

    def __init__(self, width: int, size: int, depth: int, host: Any):
        super().__init__()
        precision = precision_of(host)
        layers: list[Any] = [torch.nn.LayerNorm(width, **precision)]
        for number in range(depth):
            layers += [torch.nn.Linear(size if number else width, size, **precision), torch.nn.GELU()]
        self.network = torch.nn.Sequential(*layers, torch.nn.Linear(size, width, **precision))
        torch.nn.init.zeros_(self.network[-1].weight)
        torch.nn.init.zeros_(self.network[-1].bias)
        self.balance = torch.nn.Parameter(torch.zeros((), **precision))
        self.embedded: dict[int, torch.Tensor] = {}

    def forward(self, output: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, width] to the same; `given` is not used."""
        alpha = torch.sigmoid(self.balance)
        return alpha * output + (1 - alpha) * self.network(self.embedded[0])


def listen(block: Any, side: SideNetwork) -> None:
    """Let `side` see what the first block is given."""
    block.register_forward_pre_hook(functools.partial(_hear, [side]), with_kwargs=True)


def _hear(holder: list[SideNetwork], block: Any, args: Any, kwargs: Any) -> None:
    holder[0].embedded[0] = (args[0] if args else kwargs["hidden_states"]).detach()
