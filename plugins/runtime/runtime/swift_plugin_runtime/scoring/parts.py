"""Texts of a batch in parts of like length, so that a short query is not padded to the longest document."""

from __future__ import annotations

import os
from typing import Any

import torch

CALL = 128
"""Tokens that are taken to cost as much as one more call of a model: on a CPU they were 50 to 100 (SmolLM2, MiniLM)."""

CUTS = 64
"""Places at most where a batch may be cut: looking at each would take time that grows with the square."""


def alike(lengths: list[int]) -> list[list[int]]:
    """Numbers of the texts in parts of like length, the longest first, so that padding and calls cost the least.

    One part where several processes train: each must call the model as often as the others.
    """
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return [order]
    step = -(-len(order) // CUTS)
    ends = [*range(step, len(order), step), len(order)]
    best: dict[int, tuple[int, int]] = {0: (0, 0)}  # how many texts → (their least cost, where their last part begins)
    for end in ends:
        best[end] = min((best[at][0] + lengths[order[at]] * (end - at) + CALL, at) for at in best)
    parts, end = [], len(order)
    while end:
        parts.append(order[best[end][1] : end])
        end = best[end][1]
    return parts[::-1]


def in_parts(texts: list[dict[str, Any]], join: Any) -> dict[str, Any]:
    """`parts`: padded batches of like texts; `places`: where in all of them each text stands. join: pads some.

    Where one part is best, the padded batch itself. The parts are a dict: what counts tokens and seeks media in a batch
    goes through dicts.
    """
    parts = alike([len(text["input_ids"]) for text in texts])
    if len(parts) == 1:
        whole: dict[str, Any] = join(texts)
        return whole
    order = torch.tensor([number for part in parts for number in part])
    made = {str(place): join([texts[number] for number in part]) for place, part in enumerate(parts)}
    return {"parts": made, "places": order.argsort()}
