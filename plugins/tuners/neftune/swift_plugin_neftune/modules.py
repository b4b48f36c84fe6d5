"""The noise of NEFTune, as a module that follows the embeddings."""

from __future__ import annotations

import torch


class Noise(torch.nn.Module):
    """Adds noise drawn uniformly from ±α/√(L·d) to embeddings [batch, L, d], in training alone (arXiv 2310.05914)."""

    def __init__(self, alpha: float):
        super().__init__()
        self.alpha = alpha

    def forward(self, output: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, width] to the same, noisy while training; `given` is not used."""
        if not self.training:
            return output
        size = self.alpha / (output.shape[-2] * output.shape[-1]) ** 0.5
        return output + torch.zeros_like(output).uniform_(-size, size)
