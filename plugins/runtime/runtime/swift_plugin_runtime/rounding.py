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


def seed_of(*numbers: int) -> int:
    """One seed of 63 bits from several numbers; others give another one."""
    seed = 0
    for number in numbers:
        seed = (seed ^ number) * 0x9E3779B97F4A7C15 % 2**64
        seed = (seed ^ seed >> 29) * 0xBF58476D1CE4E5B9 % 2**64
    return seed >> 1


def piece_of(device: torch.device) -> int:
    """Entries that are rounded at a time: what lies between stays in the cache of a CPU; on a GPU each call costs."""
    return 1 << 19 if device.type == "cpu" else 1 << 24


def rounded(values: torch.Tensor, dtype: torch.dtype, seed: int) -> torch.Tensor:
    """`values` (float32) in another type, stochastically rounded where that is one of `HALF`.

    values: any shape; the result has the same.
    """
    return _rounded(values, dtype, Noise(seed), 0)


def _rounded(values: torch.Tensor, dtype: torch.dtype, noise: Noise, key: int) -> torch.Tensor:
    made = torch.empty(values.shape, dtype=dtype, device=values.device)
    round_into(made, values, noise, key)
    return made


@torch.no_grad()
def round_into(target: torch.Tensor, values: torch.Tensor, noise: Noise, key: int) -> None:
    """Write `values` (float32, of the target's shape) into `target`, stochastically rounded where it is of `HALF`.

    key: which weight that is; another one is rounded by other numbers.
    """
    if target.dtype not in HALF or values.dtype != torch.float32:
        target.copy_(values)
        return
    flat = values.detach().contiguous().view(-1)
    made = target.detach() if target.is_contiguous() else torch.empty_like(flat, dtype=target.dtype)
    together = piece_of(flat.device)
    for number, (part, out) in enumerate(zip(flat.split(together), made.view(-1).split(together), strict=True)):
        round_piece(out, part, noise.draw(out, key, number))
    if not target.is_contiguous():
        target.copy_(made.view(target.shape))


def round_piece(out: torch.Tensor, values: torch.Tensor, drawn: torch.Tensor) -> None:
    """Round `values` (float32, [n]) into `out` ([n], of `HALF`). drawn: what `Noise.draw` gave; written over."""
    (_to_bfloat16 if out.dtype == torch.bfloat16 else _to_float16)(values, out, drawn)


class Noise:
    """What decides which way entries are rounded: whole numbers from 0 to 65535, by a seed.

    One table is drawn for each device. Each piece of each weight takes it from a place of its own, exclusive-or a
    number of its own. So every entry is uniform and any two are independent: a sum of rounding errors varies as if each
    entry had been drawn, which would take longer than all the rest.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.tables: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    def draw(self, like: torch.Tensor, key: int, number: int) -> torch.Tensor:
        """int32, [n], on the device of `like` ([n]); the next draw writes over it. number: of the piece."""
        most = piece_of(like.device)
        if like.device not in self.tables:
            chance = torch.Generator(like.device).manual_seed(self.seed)
            table = torch.empty(most + most // PLACES, dtype=torch.int32, device=like.device)
            self.tables[like.device] = table.random_(0, 65536, generator=chance), torch.empty_like(table)
        own = seed_of(self.seed, key, number)
        first = (own >> 16) % (most // PLACES)
        table, out = self.tables[like.device]
        return torch.bitwise_xor(table[first : first + len(like)], own & 0xFFFF, out=out[: len(like)])


PLACES = 8
"""The table is longer than a piece by this part of it."""


def _to_bfloat16(values: torch.Tensor, out: torch.Tensor, drawn: torch.Tensor) -> None:
    """bfloat16 is the upper half of float32: a random lower half is added, and what carries over rounds up."""
    drawn.add_(values.view(torch.int32)).bitwise_right_shift_(16)
    out.view(torch.int16).copy_(drawn)
    if values.device.type != "cpu" or values.sum().isnan():  # without waiting for a GPU
        out.masked_fill_(values.isnan(), torch.nan)


def _to_float16(values: torch.Tensor, out: torch.Tensor, drawn: torch.Tensor) -> None:
    """float16 has fewer bits of exponent, so its step is taken from the neighbour on the other side of the value."""
    near = values.to(torch.float16)
    error = values - near.float()
    away = torch.where((error > 0) == (near.view(torch.int16) >= 0), 1, -1)
    # 0 has its neighbours on both sides at the smallest number with the sign of the value
    first = torch.where(values < 0, -32767, 1)
    bits = torch.where(near == 0, first, near.view(torch.int16) + away).to(torch.int16)
    other = bits.view(torch.float16)
    share = (error / (other.float() - near.float())).nan_to_num(0.0)
    takes = drawn.float() / 65536 < share
    out.copy_(torch.where(takes & other.isfinite() & near.isfinite(), other, near))


def rounded_state(state: dict[str, Any], types: dict[str, tuple[torch.dtype, str]], *seed: int) -> dict[str, Any]:
    """A state with the named tensors rounded. types: name → (type, the name by which it is rounded).

    Tensors that are known by one name are one afterwards, as tied weights are.
    """
    made: dict[str, torch.Tensor] = {}
    noise = Noise(seed_of(*seed))

    def small(name: str, value: torch.Tensor) -> torch.Tensor:
        dtype, known_as = types[name]
        if known_as not in made:
            made[known_as] = _rounded(value, dtype, noise, zlib.crc32(known_as.encode()))
        return made[known_as]

    return {name: small(name, value) if name in types else value for name, value in state.items()}
