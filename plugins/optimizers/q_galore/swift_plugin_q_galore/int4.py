"""Matrices in 4 bits: two entries a byte, 16 levels between the smallest and largest of a group."""

from __future__ import annotations

from typing import Any

import torch

GROUP = 128
"""Entries that share a scale and an offset."""


def pack(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, tuple[int, ...]]:
    """(bytes, [groups, 2] scale and offset, shape) of a matrix."""
    flat = matrix.detach().float().flatten()
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % GROUP)).view(-1, GROUP)
    low = padded.amin(dim=1, keepdim=True)
    scale = ((padded.amax(dim=1, keepdim=True) - low) / 15).clamp(min=1e-12)
    levels = ((padded - low) / scale).round().to(torch.uint8).flatten()
    return levels[0::2] | (levels[1::2] << 4), torch.cat([scale, low], dim=1), tuple(matrix.shape)


def unpack(packed: torch.Tensor, scales: torch.Tensor, shape: Any) -> torch.Tensor:
    """The matrix again, float32. packed: [groups · 64] bytes. scales: [groups, 2]. shape: the matrix's."""
    levels = torch.stack([packed & 15, packed >> 4], dim=1).view(-1, GROUP).float()
    flat = (levels * scales[:, :1] + scales[:, 1:]).flatten()
    count = shape[0] * shape[1]
    return flat[:count].view(*shape)
