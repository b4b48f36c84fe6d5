"""Attention for rows laid end to end: each segment by itself, in time and memory that grow with its own length.

transformers describes a batch of segments by a mask function and builds the whole [tokens, tokens] mask from it
under sdpa. Here the mask function is asked where one token stops seeing the one before it: those places cut the batch
into segments, and each is handed to sdpa with the part of the mask that is its own. Windows, chunks and other
patterns hold inside a segment as they were. Any batch that is not one flat row takes transformers' own path.
"""

from __future__ import annotations

import inspect
from itertools import pairwise
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from swift_plugin_runtime.layers import base_of
from swift_plugin_runtime.processor import is_processor

NAME = "swift_segments"
"""Name of this attention among transformers' attn_implementation."""

PROBE = 12
"""Tokens of each of the two rows that prove that rows stay apart."""

ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
"""Types of layers, as configurations name them, that know of other tokens through a mask alone."""


class Segments(torch.Tensor):
    """An empty tensor that stands where a mask would, with `parts`: (first, behind, mask or None) per segment."""

    parts: list[tuple[int, int, torch.Tensor | None]]


def segment_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    mask_function: Any,
    attention_mask: torch.Tensor | None = None,
    allow_is_causal_skip: bool = True,
    use_vmap: bool = False,
    device: Any = "cpu",
    **more: Any,
) -> torch.Tensor | None:
    """The segments of a flat batch [1, tokens]; else what `sdpa_mask` gives, with its arguments and result."""
    flat = batch_size == 1 and q_length == kv_length and attention_mask is None
    if flat and not (allow_is_causal_skip or use_vmap):
        return _segments(mask_function, q_length, device)
    return sdpa_mask(
        batch_size, q_length, kv_length, mask_function=mask_function, attention_mask=attention_mask,
        allow_is_causal_skip=allow_is_causal_skip, use_vmap=use_vmap, device=device, **more,
    )  # fmt: skip


def _segments(mask_function: Any, length: int, device: Any) -> Segments:
    zero = torch.zeros((), dtype=torch.long, device=device)
    places = torch.arange(length, device=device)

    def seen(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(mask_function(zero, zero, query, key), device=device)

    ahead = seen(places[:-1], places[1:])
    starts = (~(seen(places[1:], places[:-1]) | ahead)).nonzero()[:, 0] + 1
    borders = [0, *starts.tolist(), length]
    found = torch.empty(0, device=device).as_subclass(Segments)
    found.parts = []
    for first, behind in pairwise(borders):
        inside = places[first:behind]
        causal = bool(seen(inside[-1:], inside).all()) and not bool(ahead[first : behind - 1].any())
        found.parts.append((first, behind, None if causal else seen(inside[:, None], inside[None, :])[None, None]))
    return found


def segment_attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **more: Any
) -> tuple[torch.Tensor, None]:
    """sdpa over [1, heads, tokens, width], segment by segment where `attention_mask` is `Segments`."""
    if not isinstance(attention_mask, Segments):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **more)
    parts = [
        sdpa_attention_forward(module, *(t[:, :, first:behind] for t in (query, key, value)), mask, **more)[0]
        for first, behind, mask in attention_mask.parts
    ]
    return torch.cat(parts, dim=1), None


AttentionInterface.register(NAME, segment_attention)
AttentionMaskInterface.register(NAME, segment_mask)


def why_padded(job: Any, model: Any, processor: Any) -> str | None:
    """Why the batches of a job cannot be laid end to end, in a sentence; None where they can."""
    base = base_of(model)
    name = type(base).__name__
    if is_processor(processor) or set(job.card.modality) != {"text"}:
        return "rows of multimodal models are padded"
    if not type(base).__module__.startswith("transformers.models."):
        return f"{name} is not a class of transformers, whose masks keep rows apart"
    layers = set(getattr(base.config, "layer_types", None) or ATTENTION)
    if getattr(base, "_is_stateful", False) or not layers <= ATTENTION:
        return f"{name} carries a state from token to token, also from one row into the next"
    if "position_ids" not in inspect.signature(type(base).forward).parameters:
        return f"{name} takes no position_ids"
    return job.objection("padding_free") or job.objection("packing")


def keep_rows_apart(model: Any) -> bool:
    """Give a model on sdpa the attention of this module; True where a row then has the logits that it has alone.

    Two made-up rows end to end are the proof. Where it fails, the model keeps its own attention.
    """
    base = base_of(model)
    before = base.config._attn_implementation
    if before == "sdpa":
        base.set_attn_implementation(NAME)
    apart = _second_row_is_itself(model, base.config.get_text_config().vocab_size)
    if not apart and before == "sdpa":
        base.set_attn_implementation(before)
    return apart


def _second_row_is_itself(model: Any, vocabulary: int) -> bool:
    chance = torch.Generator().manual_seed(0)
    ids = torch.randint(vocabulary, (1, 2 * PROBE), generator=chance).to(model.device)
    positions = torch.arange(PROBE, device=model.device).repeat(2)[None]
    trains = model.training
    model.eval()
    try:
        with torch.no_grad():
            joined = model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, PROBE:].float()
            alone = model(input_ids=ids[:, PROBE:], use_cache=False).logits.float()
    except (IndexError, RuntimeError, TypeError, ValueError):  # a class that looks into its mask
        return False
    finally:
        model.train(trains)
    exact = all(p.dtype == torch.float32 for p in model.parameters() if p.is_floating_point())
    return bool((joined - alone).abs().max() <= (1e-3 if exact else 0.1) * alone.std())
