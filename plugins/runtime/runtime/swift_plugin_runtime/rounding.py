"""Stochastic rounding of float32 to bfloat16 or float16: up or down at random, so that the mean is the number itself.

Rounding to the nearest loses every change below half a step of the coarser type; here such changes survive on average
(Gupta et al., arXiv 1502.02551). What the coarser type can hold is left as it is. The same seed rounds the same way.
"""

from __future__ import annotations

import zlib
from typing import Any

import torch

HALF = (torch.bfloat16, torch.float16)
"""Types of weights in which small updates are lost."""

CHUNK = 1 << 18
"""Entries that are rounded at a time: what lies between stays in the cache of a CPU."""


def seed_of(*numbers: int) -> int:
    """One seed of 63 bits from several numbers; others give another one."""
    seed = 0
    for number in numbers:
        seed = (seed ^ number) * 0x9E3779B97F4A7C15 % 2**64
        seed = (seed ^ seed >> 29) * 0xBF58476D1CE4E5B9 % 2**64
    return seed >> 1


def rounded(values: torch.Tensor, dtype: torch.dtype, seed: int) -> torch.Tensor:
    """`values` (float32) in another type, stochastically rounded where that is one of `HALF`.

    values: any shape; the result has the same.
    """
    made = torch.empty(values.shape, dtype=dtype, device=values.device)
    round_into(made, values, seed)
    return made


@torch.no_grad()
def round_into(target: torch.Tensor, values: torch.Tensor, seed: int) -> None:
    """Write `values` (float32, of the target's shape) into `target`, stochastically rounded where it is of `HALF`."""
    if target.dtype not in HALF or values.dtype != torch.float32:
        target.copy_(values)
        return
    flat = values.detach().contiguous().view(-1)
    made = target.detach() if target.is_contiguous() else torch.empty_like(flat, dtype=target.dtype)
    noise = _Noise(flat, seed)
    how = _to_bfloat16 if target.dtype == torch.bfloat16 else _to_float16
    for part, out in zip(flat.split(CHUNK), made.view(-1).split(CHUNK), strict=True):
        how(part, out, noise.draw(len(part)))
    if not target.is_contiguous():
        target.copy_(made.view(target.shape))


class _Noise:
    """Uniform numbers from -32768 to 32767; each draw of 64 random bits gives four."""

    def __init__(self, like: torch.Tensor, seed: int):
        self.chance = torch.Generator(like.device).manual_seed(seed)
        self.drawn = torch.empty(-(-min(CHUNK, like.numel()) // 4), dtype=torch.int64, device=like.device)

    def draw(self, count: int) -> torch.Tensor:
        self.drawn.random_(-(2**63), None, generator=self.chance)
        return self.drawn.view(torch.int16)[:count]


def _to_bfloat16(values: torch.Tensor, out: torch.Tensor, noise: torch.Tensor) -> None:
    """bfloat16 is the upper half of float32: a random lower half is added, and what carries over rounds up."""
    bits = noise.to(torch.int32)  # a sum of two types would take ten times as long on a CPU
    bits.add_(values.view(torch.int32)).add_(32768).bitwise_right_shift_(16)
    out.view(torch.int16).copy_(bits)
    if values.device.type != "cpu" or values.sum().isnan():  # without waiting for a GPU
        out.masked_fill_(values.isnan(), torch.nan)


def _to_float16(values: torch.Tensor, out: torch.Tensor, noise: torch.Tensor) -> None:
    """float16 has fewer bits of exponent, so its step is taken from the neighbour on the other side of the value."""
    near = values.to(torch.float16)
    error = values - near.float()
    away = torch.where((error > 0) == (near.view(torch.int16) >= 0), 1, -1)
    # 0 has its neighbours on both sides at the smallest number with the sign of the value
    first = torch.where(values < 0, -32767, 1)
    bits = torch.where(near == 0, first, near.view(torch.int16) + away).to(torch.int16)
    other = bits.view(torch.float16)
    share = (error / (other.float() - near.float())).nan_to_num(0.0)
    takes = (noise.float() + 32768) / 65536 < share
    out.copy_(torch.where(takes & other.isfinite() & near.isfinite(), other, near))


def rounded_state(state: dict[str, Any], types: dict[str, tuple[torch.dtype, str]], *seed: int) -> dict[str, Any]:
    """A state with the named tensors rounded. types: name → (type, the name by which it is rounded).

    Tensors that are known by one name are one afterwards, as tied weights are.
    """
    made: dict[str, torch.Tensor] = {}

    def small(name: str, value: torch.Tensor) -> torch.Tensor:
        dtype, known_as = types[name]
        if known_as not in made:
            made[known_as] = rounded(value, dtype, seed_of(*seed, zlib.crc32(known_as.encode())))
        return made[known_as]

    return {name: small(name, value) if name in types else value for name, value in state.items()}
