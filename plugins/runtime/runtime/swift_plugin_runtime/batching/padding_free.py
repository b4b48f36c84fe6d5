"""Rows laid end to end: whether a model keeps them apart, the positions of each, and the batches.

A row behind another must have the logits that it has alone. Whether it has is not looked up: rows are tried, made-up
ones for the text, and for each modality rows of the very data (`probe_rows`). The trial itself is `separation`.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch

from swift_core import SwiftError, Unsupported
from swift_core.contract.components import Component, declared
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_plugin_runtime.batching.attention import NAME
from swift_plugin_runtime.batching.collate import flat_batch
from swift_plugin_runtime.batching.separation import why_together
from swift_plugin_runtime.encoding.datasets import encode_some, encoded_by, fit, row_limit
from swift_plugin_runtime.encoding.media_check import media_in
from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.options import training_options

ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
"""Types of layers, as configurations name them, that know of other tokens through a mask alone."""

LOOKED_AT = 64
"""Rows of a stream among which probe rows are sought."""


class FlatRows:
    """Rows, or packs of rows, as one flat batch, each row with the positions that it has alone.

    Refuses media of a kind that was not among the rows that were tried.
    """

    def __init__(self, model: Any, proven: set[str]):
        self.proven = proven
        self.count = counter_of(model)

    def __call__(self, items: list[Any], next_positions: Any = None) -> dict[str, Any]:
        """The batch. next_positions: gives those of each row in turn, where pieces of rows are given; else they count.

        Raises SwiftError for media of a kind that was not tried.
        """
        rows = [row for item in items for row in (item if isinstance(item, list) else [item])]
        batch = flat_batch(rows, self.count if next_positions is None else lambda _: next_positions())
        unknown = set(media_in(batch)) - self.proven
        if unknown:
            raise SwiftError(
                f"{', '.join(sorted(unknown))} came up late in the data, and whether such rows can be laid end to end "
                "was not tried. Say --padding_free false, or put a row of every kind among the first."
            )
        return batch


def counter_of(model: Any) -> Any:
    """A function from a row to its positions: [1, tokens], or [1 + axes, 1, tokens] where a family counts along
    time, height and width of pictures, the plain positions first."""
    family = next((m for m in base_of(model).modules() if hasattr(m, "get_rope_index")), None)
    return plain_positions if family is None else lambda row: _axes(family.get_rope_index, row)


def plain_positions(row: dict[str, Any]) -> torch.Tensor:
    """0, 1, 2 … as [1, tokens]."""
    return torch.arange(len(row["input_ids"]))[None]


def _axes(get_rope_index: Any, row: dict[str, Any]) -> torch.Tensor:
    plain = plain_positions(row)[None]
    if not media_in(row):
        return plain.expand(4, -1, -1)
    length = plain.shape[-1]
    known = {k: torch.tensor([v]) if isinstance(v, list) and len(v) == length else v for k, v in row.items()}
    known |= {"attention_mask": torch.ones_like(plain[0]), "second_per_grids": row.get("video_second_per_grid")}
    if "feature_attention_mask" in row:
        known["audio_seqlens"] = row["feature_attention_mask"].sum(-1)
    wanted = inspect.signature(get_rope_index).parameters
    axes = get_rope_index(**{k: v for k, v in known.items() if k in wanted and v is not None})[0]
    return torch.cat([plain.to(axes), axes])


def why_padded(job: Job, model: Any) -> str | None:
    """Why the batches of a job cannot be laid end to end, in a sentence; None where that has to be tried."""
    return why_never_flat(model) or job.objection("padding_free") or _why_not_packed(job)


def _why_not_packed(job: Job) -> str | None:
    """Why a model or tuner takes no rows behind each other. A method that packs none may lay them end to end."""
    for item in [*job.many("model"), *job.many("tuner")]:
        answer = declared(item.component, Component, "capabilities").get("packing")
        if isinstance(answer, Unsupported):
            return f"{item.entry.title} does not support packing: {answer.reason}"
    return None


def why_never_flat(model: Any) -> str | None:
    """Why a model takes no rows laid end to end, whatever they are, in a sentence; None where that has to be tried."""
    base = base_of(model)
    name = type(base).__name__
    if not type(base).__module__.startswith("transformers.models."):
        return f"{name} is not a class of transformers, whose masks keep rows apart"
    layers = set(getattr(base.config.get_text_config(), "layer_types", None) or ATTENTION)
    if getattr(base, "_is_stateful", False) or not layers <= ATTENTION:
        return f"{name} carries a state from token to token, also from one row into the next"
    if "position_ids" not in inspect.signature(type(base).forward).parameters:
        return f"{name} takes no position_ids"
    return None


def probe_rows(job: Job, rows: list[Row], processor: Any) -> list[dict[str, Any]]:
    """Encoded rows that show what the data hold: of each modality the first two that are short enough to train."""
    chosen: dict[int, Row] = {}
    for name in ("image", "video", "audio"):
        chosen |= {id(row): row for row in [row for row in rows if name in row.media][:2]}
    if not chosen:
        return []
    limit, strategy = row_limit(job, processor), training_options(job).truncation_strategy
    encoded = [(row, _encoded(job, row, processor)) for row in chosen.values()]
    fitting = [fit(item, limit, strategy, row.where) for row, item in encoded]
    return [item for item in fitting if item is not None]


def _encoded(job: Job, row: Row, processor: Any) -> dict[str, Any]:
    """A row as it is trained, or where answers are drawn its question."""
    if row.answer:
        return encode_some(job, [row], processor)[0]
    return encoded_by(job, [row.prompt()], processor, generation=True)[0]


def keep_rows_apart(model: Any, rows: list[dict[str, Any]] | None = None) -> bool:
    """As `why_joined`; True where rows stay apart."""
    return why_joined(model, rows) is None


def why_joined(model: Any, rows: list[dict[str, Any]] | None = None) -> str | None:
    """Give a model on sdpa the attention of segments; None where a row then has the logits that it has alone.

    Made-up rows end to end are the proof, and encoded `rows` with media, each of which also stands behind itself.
    Where it fails, the model keeps its own attention, and the answer says in what way.
    """
    base = base_of(model)
    before = base.config.get_text_config()._attn_implementation
    if before == "sdpa":
        set_attention(base, NAME)
    reason = why_together(model, counter_of(model), rows or [])
    if reason and before == "sdpa":
        set_attention(base, before)
    return reason


def set_attention(base: Any, name: str) -> None:
    """Set the attention of the language model of a model without wrappers.

    Towers keep theirs, which may be another (Gemma 4's sound).
    """
    config = base.config
    own = [key for key in config.sub_configs if getattr(config, key, None) is config.get_text_config()]
    base.set_attn_implementation({"": name, **dict.fromkeys(own, name)})
