"""Answers laid end to end: what rows have in common at their beginning is computed once, and each goes on from there.

A chosen and a rejected answer, or the answers of a group, follow one prompt. In a batch of them the first row of a
group stands whole, the others from where they part, with the positions that they have alone; the attention of
segments gives them the keys and values of the beginning. Losses and gradients are those of separate rows.

What belongs to a row and not to the model (labels, weights, advantages) stays [rows, tokens]. `Layout` tells where in
the flat row each of a row's tokens stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from swift_core.templates.encode import IGNORED
from swift_plugin_runtime.batching.attention import NAME, Beginnings, going_on_from
from swift_plugin_runtime.batching.collate import FILL, pad_batch, padded, same_keys
from swift_plugin_runtime.encoding.media_check import media_in
from swift_plugin_runtime.loading.layers import base_of

Rows = list[dict[str, Any]]
Groups = Sequence[Sequence[int]]
"""Numbers of rows that may begin alike; every row is in one group."""

BESIDE = ("labels", "loss_scale")
"""Keys of a row that the model does not see."""

LEAST = 8
"""Tokens in common from which it pays to compute them once."""


@dataclass(frozen=True)
class Layout:
    """Where rows stand in a flat row. places: [rows, longest], 0 behind a row's end."""

    places: torch.Tensor
    beginnings: Beginnings

    def to(self, device: Any, **more: Any) -> Layout:
        """The same on a device; arguments as those of a tensor's `to`."""
        return Layout(self.places.to(device, **more), self.beginnings)

    @contextmanager
    def attended(self, model: Any) -> Iterator[None]:
        """Inside, the model may be called with the flat row. It must have the attention of segments."""
        assert not self.beginnings or base_of(model).config.get_text_config()._attn_implementation == NAME
        with going_on_from(self.beginnings):
            yield


def called(model: Any, inputs: dict[str, Any], layout: Layout, **more: Any) -> Any:
    """The outputs of a model for a flat row."""
    with layout.attended(model):
        return model(**inputs, **more, use_cache=False)


class Join(Protocol):
    """From rows to a batch whose labels are [rows, tokens]; groups: which rows may begin alike, else none do."""

    def __call__(self, rows: Rows, groups: Groups | None = None) -> dict[str, Any]:
        """The batch; it has a `layout` where its inputs are a flat row."""


class PaddedRows:
    """Rows padded to the longest."""

    def __init__(self, pad_id: int):
        self.pad_id = pad_id

    def __call__(self, rows: Rows, groups: Groups | None = None) -> dict[str, Any]:
        return pad_batch(rows, self.pad_id)


class LaidRows:
    """Rows laid end to end. flat: makes the flat batch of pieces (`FlatRows`). shares: whether beginnings are shared.

    beside: keys that the model does not see.
    """

    def __init__(self, flat: Any, shares: bool, beside: Collection[str] = BESIDE):
        self.flat, self.shares, self.beside = flat, shares, beside

    def __call__(self, rows: Rows, groups: Groups | None = None) -> dict[str, Any]:
        alone = [[number] for number in range(len(rows))]
        return laid_batch(rows, groups if groups and self.shares else alone, self.flat, self.beside)


def laid_batch(rows: Rows, groups: Groups, flat: Any, beside: Collection[str] = BESIDE) -> dict[str, Any]:
    """A flat batch with its `layout`, and the rows' own keys as [rows, longest]. flat: as for `LaidRows`."""
    rows = same_keys(rows)
    longest = max(len(row["input_ids"]) for row in rows)
    places, beginnings = torch.zeros(len(rows), longest, dtype=torch.long), {}
    pieces, positions, end = [], [], 0
    for group in groups:
        common, start = common_beginning([rows[number] for number in group]), end
        for number in sorted(group, key=lambda number: -len(rows[number]["input_ids"])):  # masks are the longest's
            row, skipped = rows[number], common if end > start else 0
            length = len(row["input_ids"])
            if skipped:
                beginnings[end] = (start, start + skipped)
            places[number, :skipped] = torch.arange(start, start + skipped)
            places[number, skipped:length] = torch.arange(end, end + length - skipped)
            pieces.append({k: _behind(v, skipped, length) for k, v in row.items() if k not in beside})
            positions.append(flat.count(row)[..., skipped:])
            end += length - skipped
    batch: dict[str, Any] = flat(pieces, iter(positions).__next__)
    own = {k: padded([row[k] for row in rows], longest, FILL.get(k, 0), False) for k in beside if k in rows[0]}
    # rows of evaluation batches are counted by the first tensor
    return {**own, **batch, "layout": Layout(places, beginnings)}


def _behind(value: Any, first: int, length: int) -> Any:
    """What runs along the tokens of a row from one of them on; anything else as it is."""
    return value[first:] if isinstance(value, list) and len(value) == length else value


def common_beginning(rows: Rows) -> int:
    """How many first tokens of all rows are computed once; 0 where that does not pay, and where rows have media.

    None of them is trained, and the token before the first trained one, which foretells it, is each row's own.
    """
    if len(rows) < 2 or any(media_in(row) for row in rows):
        return 0
    own = min(_untrained(row) for row in rows) - 1
    columns = enumerate(zip(*(row["input_ids"][: max(own, 0)] for row in rows), strict=True))
    common = next((n for n, column in columns if len({*column}) > 1), max(own, 0))
    along = {k for row in rows for k, v in row.items() if isinstance(v, list) and len(v) == len(row["input_ids"])}
    same = all(row.get(k, [])[:common] == rows[0].get(k, [])[:common] for row in rows for k in along - {*BESIDE})
    return common if same and common >= LEAST else 0


def _untrained(row: dict[str, Any]) -> int:
    """Tokens before the first trained one; all where none is."""
    labels = row.get("labels", [])
    return next((n for n, label in enumerate(labels) if label != IGNORED), len(row["input_ids"]))


def side_by_side(count: int) -> list[tuple[int, int]]:
    """Groups of a row and the one `count` behind it: the first halves of pairs stand before the second ones."""
    return [(number, number + count) for number in range(count)]


def by_prompt(rows: Rows) -> list[list[int]]:
    """Neighbours with the same tokens before the first trained one."""
    groups: list[list[int]] = []
    heads: list[list[int]] = []
    for number, row in enumerate(rows):
        head = row["input_ids"][: _untrained(row)]
        if heads and heads[-1] == head:
            groups[-1].append(number)
        else:
            groups, heads = [*groups, [number]], [*heads, head]
    return groups
