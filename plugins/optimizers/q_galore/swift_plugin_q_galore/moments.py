"""Adam's moments in 8 bits an entry, with a scale for each block of 256 (Dettmers et al., arXiv 2110.02861)."""

from __future__ import annotations

import functools
from typing import Any

import torch
from bitsandbytes import functional
from swift_plugin_runtime.optimizing.layerwise import adam_direction

BLOCK = 256
LEAST = 4096
"""Moments of fewer entries stay in 32 bits, as in the paper's 8-bit Adam."""

SIGNED = {"exp_avg": True, "exp_avg_sq": False}
"""Which moment has signs: the levels of the other need none."""


def adam_direction_in_8_bits(gradient: Any, group: dict[str, Any], state: dict[str, Any]) -> Any:
    """m̂/(√v̂ + ε) as `adam_direction`, its moments kept in 8 bits between steps."""
    if gradient.numel() < LEAST:
        return adam_direction(gradient, group, state)
    whole = {"step": state["step"], **{name: whole_moment(state, name) for name in SIGNED if f"{name}_codes" in state}}
    direction = adam_direction(gradient.float(), group, whole)
    for name in SIGNED:
        keep_moment(state, name, whole[name])
    return direction


def keep_moment(state: dict[str, Any], name: str, value: torch.Tensor) -> None:
    """Write a moment as codes of a byte and the largest size in each block.

    value: any shape; its codes have the same.
    """
    codes, made = functional.quantize_blockwise(value, code=levels(SIGNED[name], value.device), blocksize=BLOCK)
    state[f"{name}_codes"], state[f"{name}_sizes"] = codes, made.absmax


def whole_moment(state: dict[str, Any], name: str) -> torch.Tensor:
    """The moment again, float32, in the shape that it was kept in."""
    codes, sizes = state[f"{name}_codes"], state[f"{name}_sizes"]
    code = levels(SIGNED[name], codes.device)
    return functional.dequantize_blockwise(codes, absmax=sizes, code=code, blocksize=BLOCK)


@functools.cache
def levels(signed: bool, device: Any) -> torch.Tensor:
    """The 256 levels of the paper's dynamic tree quantization, between −1 (or 0) and 1. Shape [256]."""
    return functional.create_dynamic_map(signed=signed).to(device)
