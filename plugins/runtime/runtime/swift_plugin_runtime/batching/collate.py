"""From encoded rows to one batch of tensors: padded, or laid end to end."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch

from swift_core.templates.encode import IGNORED

FILL = {"labels": IGNORED, "loss_scale": 0.0, "attention_mask": 0}
"""Value at padded positions; any other list that runs along the tokens is filled with 0."""

CONCAT_LAST = {"pixel_values": "target_sizes", "pixel_values_videos": "target_sizes_videos"}
"""Keys joined along their last dimension when the other stands beside them (MiniCPM-V)."""


COUNTS_PATCHES = {"image_token_pooling": "pixel_values", "video_token_pooling": "pixel_values_videos"}
"""Indexes into the patches [crops, patches, …] of the other key, -1 for none (Molmo 2): those of later rows move on."""

ROW_LAYOUT = {
    "pixel_attention_mask": ("pixel_values", "pixel_attention_mask"),
    "aspect_ratio_ids": ("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask", "cross_attention_mask"),
}
"""A tensor that tells a family whose images are laid out per row, `[1, images, …]` → the tensors so laid out: of
Idefics and its heirs, of Llama 3.2 Vision. Rows are padded with empty images, and a row of text has only those."""


def pad_batch(rows: list[dict[str, Any]], pad_id: int, left: bool = False) -> dict[str, Any]:
    """Rows as tensors [rows, longest], with `attention_mask`; media tensors joined in row order.

    left: pad before the text (generation) rather than behind it (training).
    """
    rows = _same_layout(same_keys(rows))
    longest = max(len(row["input_ids"]) for row in rows)
    batch = {"attention_mask": padded([[1] * len(r["input_ids"]) for r in rows], longest, 0, left)}
    for key in _keys(rows):
        values = [row[key] for row in rows if key in row]
        if _along_tokens(rows, key):
            fill = pad_id if key == "input_ids" else FILL.get(key, 0)
            batch[key] = padded(values, longest, fill, left)
        else:
            batch[key] = join_media(key, values, rows)
    return batch


def flat_batch(rows: list[dict[str, Any]], positions: Any = None) -> dict[str, Any]:
    """Rows as one row [1, tokens] with `position_ids` that restart: no padding, no attention across.

    positions: a function from a row to its positions, tokens last; left out: 0, 1, 2 …
    """
    if positions is None:
        places = torch.tensor([[i for row in rows for i in range(len(row["input_ids"]))]])
    else:
        places = torch.cat([positions(row) for row in rows], dim=-1)
    rows = same_keys(rows)
    batch: dict[str, Any] = {"position_ids": places}
    for key in _keys(rows):
        if _along_tokens(rows, key):
            batch[key] = torch.tensor([[value for row in rows for value in row[key]]])
        else:
            batch[key] = join_media(key, [row[key] for row in rows if key in row], rows)
    return batch


def join_media(key: str, values: list[Any], rows: list[dict[str, Any]]) -> Any:
    """Media tensors of several rows as one: along dim 0, trailing dimensions padded with zeros to the largest."""
    if not isinstance(values[0], torch.Tensor):
        return [item for value in values for item in (value if isinstance(value, list) else [value])]
    if key in COUNTS_PATCHES:
        values = _moved_on(values, [row[COUNTS_PATCHES[key]] for row in rows if key in row])
    if any(CONCAT_LAST.get(key) in row for row in rows):
        return torch.cat(values, dim=-1)
    shape = [max(v.shape[d] for v in values) for d in range(1, values[0].dim())]
    return torch.cat([_grown(v, shape) for v in values])


def _moved_on(indexes: list[torch.Tensor], patches: list[torch.Tensor]) -> list[torch.Tensor]:
    """Each row's indexes behind the patches of the rows before it."""
    starts = accumulate((p.shape[0] * p.shape[1] for p in patches), initial=0)
    return [torch.where(i < 0, i, i + start) for i, start in zip(indexes, starts, strict=False)]


def _grown(value: torch.Tensor, shape: list[int]) -> torch.Tensor:
    if list(value.shape[1:]) == shape:
        return value
    out = value.new_zeros([value.shape[0], *shape])
    out[tuple(slice(0, n) for n in value.shape)] = value
    return out


def same_keys(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows where a token-aligned key that only some carry is filled in for the others."""
    aligned = {k for row in rows for k, v in row.items() if isinstance(v, list) and len(v) == len(row["input_ids"])}
    out = []
    for row in rows:
        length = len(row["input_ids"])
        default: dict[str, list[float]] = {k: [0] * length for k in aligned - row.keys()}
        if "loss_scale" in default:
            default["loss_scale"] = [float(label != IGNORED) for label in row["labels"]]
        out.append({**row, **default})
    return out


def _same_layout(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with tensors in row layout for all of them, where any has some."""
    tells = [key for key in ROW_LAYOUT if any(key in row for row in rows)]
    keys = [key for tell in tells for key in ROW_LAYOUT[tell]]
    models = {key: next(row[key] for row in rows if key in row) for key in keys if any(key in row for row in rows)}
    if "pixel_values" not in models or models["pixel_values"].dim() < 5:
        return rows  # LFM2-VL's mask runs along patches: its images are not laid out per row

    def empty(row: dict[str, Any]) -> dict[str, torch.Tensor]:
        along = {key: len(row["input_ids"]) if key == "cross_attention_mask" else 1 for key in models}
        return {key: value.new_zeros([1, along[key], *value.shape[2:]]) for key, value in models.items()}

    return [{**empty(row), **row} for row in rows]


def _keys(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _along_tokens(rows: list[dict[str, Any]], key: str) -> bool:
    return all(isinstance(row.get(key), list) and len(row[key]) == len(row["input_ids"]) for row in rows)


def padded(values: list[list[Any]], longest: int, fill: Any, left: bool) -> torch.Tensor:
    """Lists of numbers as [rows, longest], filled up with `fill` behind them, or before them where `left`."""
    out = []
    for value in values:
        space = [fill] * (longest - len(value))
        out.append(space + list(value) if left else list(value) + space)
    return torch.tensor(out)


def on_device(device: Any, value: Any) -> Any:
    """A tensor of a batch on a device; anything else as it is."""
    return value.to(device) if hasattr(value, "to") else value
