"""Encoded rows as a torch data set: every row is checked before training, overlong ones dropped or cut."""

from __future__ import annotations

import random
from typing import Any

import torch
from tqdm import tqdm

from swift_core import SwiftError
from swift_core.data.load import batches
from swift_core.data.row import Row

ENCODE_TOGETHER = 64
"""Rows per tokenizer call; larger batches gain nothing measurable."""


class EncodedRows(torch.utils.data.Dataset):
    """Rows encoded through the job's template. Item i is a dict as `encode` returns it."""

    def __init__(self, items: list[Any]):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def encode_rows(job: Any, rows: list[Row], processor: Any, what: str = "rows") -> EncodedRows:
    """All rows encoded, with a progress bar; `truncation_strategy` applied and its effect said."""
    items, cut = [], 0
    limit = row_limit(job, processor)
    with tqdm(total=len(rows), desc=f"encoding {what}", disable=len(rows) < 512, leave=False) as bar:
        for group in batches(rows, ENCODE_TOGETHER):
            for row, item in zip(group, encode_some(job, group, processor), strict=True):
                kept = fit(item, limit, job.options.truncation_strategy, row.where)
                cut += kept is not item
                if kept is not None:
                    items.append(kept)
            bar.update(len(group))
    if cut:
        verb = "dropped" if job.options.truncation_strategy == "delete" else "cut"
        job.say(f"{verb} {cut} of {len(rows)} {what} longer than {limit} tokens")
    if not items:
        raise SwiftError(f"No {what} are left: all {len(rows)} are longer than max_length {limit}.")
    return EncodedRows(items)


def encode_some(job: Any, rows: list[Row], processor: Any) -> list[dict[str, Any]]:
    """A few rows through the `encode` hook, for training."""
    encoded = job.hook.encode(job=job, rows=rows, processor=processor, generation=False)
    for row, item in zip(rows, encoded, strict=True):
        if all(label == -100 for label in item["labels"]):
            raise SwiftError(f"{row.where}: nothing in this row is trained; check its answer and --loss_scale.")
    found: list[dict[str, Any]] = encoded
    return found


def row_limit(job: Any, processor: Any) -> int | None:
    """Longest row in tokens: --max_length, else the tokenizer's own limit where it states one."""
    if job.options.max_length:
        return int(job.options.max_length)
    stated = getattr(getattr(processor, "tokenizer", processor), "model_max_length", None)
    return int(stated) if stated and stated < 10**7 else None


def fit(item: dict[str, Any], limit: int | None, strategy: str, where: str) -> dict[str, Any] | None:
    """The row itself where it is short enough; cut, None (dropped) or an error by `strategy` where not."""
    length = len(item["input_ids"])
    if limit is None or length <= limit:
        return item
    if strategy == "raise":
        raise SwiftError(f"{where}: {length} tokens, more than max_length {limit}. Raise it, or cut or delete rows.")
    has_media = any(isinstance(v, torch.Tensor) for v in item.values())
    if strategy == "delete" or has_media:
        return None  # a cut through an image would leave features without their tokens
    window = slice(length - limit, None) if strategy == "left" else slice(0, limit)
    short = {k: v[window] if isinstance(v, list) and len(v) == length else v for k, v in item.items()}
    return short if any(label != -100 for label in short["labels"]) else None


def pack(rows: EncodedRows, limit: int, seed: int) -> EncodedRows:
    """Rows joined into lists of at most `limit` tokens each, best fit first on a shuffled order.

    An item of the result is a list of rows, which the flat collator lays end to end.
    """
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    packs: list[tuple[int, list[Any]]] = []
    open_packs: dict[int, list[int]] = {}
    for index in order:
        length = len(rows[index]["input_ids"])
        room = next((r for r in range(length, limit + 1) if open_packs.get(r)), None)
        if room is None:
            packs.append((limit - length, [rows[index]]))
            place = len(packs) - 1
        else:
            place = open_packs[room].pop()
            packs[place] = (room - length, [*packs[place][1], rows[index]])
        open_packs.setdefault(packs[place][0], []).append(place)
    return EncodedRows([items for _, items in packs])
