"""Attention for rows laid end to end: each segment by itself, in time and memory that grow with its own length.

transformers describes a batch of segments by a mask function and builds the whole [tokens, tokens] mask from it
under sdpa. Here the mask function is asked where one token stops seeing the one before it: those places cut the batch
into segments, and each is handed to sdpa with the part of the mask that is its own. Windows, chunks and other
patterns hold inside a segment as they were. Any batch that is not one flat row takes transformers' own path.

A segment may go on from the first tokens of another one, whose keys and values it then sees before its own: rows that
begin alike are computed once up to where they part (`shared_rows`).

In bfloat16 on a CPU, causal segments take plain products instead: torch's kernel spends twice their time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "swift_segments"
"""Name of this attention among transformers' attn_implementation."""

SHORT, KEPT, BLOCK = 4096, 512, 128
"""Tokens of the longest segment that takes products, of the longest whose weights are kept for the gradient, which
computes those of longer ones anew, and queries in a block: beyond, torch's kernel costs less, or weights most."""


Beginnings = Mapping[int, tuple[int, int]]
"""Where a segment starts → (first, behind) of the tokens of another one from which it goes on."""

BEGINNINGS: ContextVar[Beginnings] = ContextVar("BEGINNINGS", default=MappingProxyType({}))
"""Those of the flat batch that a model is called with."""


@contextmanager
def going_on_from(beginnings: Beginnings) -> Iterator[None]:
    """Inside, the model may be called with a flat batch whose segments go on from others.

    The segment that is gone on from must be as long as the row it lends to, or longer: masks are read off it.
    """
    token = BEGINNINGS.set(beginnings)
    try:
        yield
    finally:
        BEGINNINGS.reset(token)


class Segments(torch.Tensor):
    """An empty tensor that stands where a mask would, with `parts`: (first, behind, mask or None) per segment.

    A mask is [1, 1, tokens, keys]: those of its beginning, of which `beginnings` tells, stand before its own.
    """

    parts: list[tuple[int, int, torch.Tensor | None]]
    beginnings: Beginnings = MappingProxyType({})


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
    segments = torch.empty(0, dtype=torch.bool, device=device).as_subclass(Segments)  # FSDP2 casts what is floating
    segments.parts, segments.beginnings = [], BEGINNINGS.get()
    for first, behind in pairwise(borders):
        start, end = segments.beginnings.get(first, (first, first))
        past, row = end - start, places[start : end + behind - first]  # as it would lie behind its beginning
        causal = bool(seen(row[-1:], row).all()) and not bool(ahead[start : start + len(row) - 1].any())
        segments.parts.append((first, behind, None if causal else seen(row[past:, None], row[None, :])[None, None]))
    return segments


def segment_attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **more: Any
) -> tuple[torch.Tensor, None]:
    """sdpa over [1, heads, tokens, width], segment by segment where `attention_mask` is `Segments`."""
    if not isinstance(attention_mask, Segments):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **more)
    parts = []
    for first, behind, mask in attention_mask.parts:
        q, start = query[:, :, first:behind], attention_mask.beginnings.get(first)
        k, v = (_keys(t, first, behind, start) for t in (key, value))
        if mask is None and _by_products(module, q, k, **more):
            parts.append(products(q, k, v, more.get("scaling")))
            continue
        if mask is None and start is not None:
            mask = lower_right(q.shape[2], k.shape[2], q.device)[None, None]
        parts.append(sdpa_attention_forward(module, q, k, v, mask, **more)[0])
    return torch.cat(parts, dim=1), None


def _keys(states: torch.Tensor, first: int, behind: int, start: tuple[int, int] | None) -> torch.Tensor:
    """Keys or values of a segment, those of its beginning before them, [1, heads, tokens, width]."""
    own = states[:, :, first:behind]
    return own if start is None else torch.cat([states[:, :, start[0] : start[1]], own], dim=2)


def lower_right(count: int, length: int, device: Any) -> torch.Tensor:
    """What the last `count` of `length` tokens see, themselves included: bool [count, length]."""
    return torch.ones(count, length, dtype=torch.bool, device=device).tril(length - count)


def _by_products(
    module: Any, query: torch.Tensor, key: torch.Tensor, dropout: float = 0.0, is_causal: bool | None = None, **_: Any
) -> bool:
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    cheap = query.device.type == "cpu" and query.dtype == torch.bfloat16 and key.shape[2] <= SHORT
    return bool(cheap and causal and not dropout)


def products(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """Causal attention of one segment as scores, softmax and sum, for a block of queries and what it sees at a time.

    query: [1, heads, tokens, width]; key and value may have fewer heads, each for as many neighbours, and more tokens:
    those before the segment. scaling: of the scores; None for 1/√width. Returns [1, tokens, heads, width].
    """
    length, width = query.shape[2:]
    past = key.shape[2] - length
    block = partial(_block, scaling=width**-0.5 if scaling is None else scaling)
    kept = key.shape[2] <= KEPT or not torch.is_grad_enabled()
    blocks = []
    for first in range(0, length, BLOCK):
        behind = min(first + BLOCK, length)
        parts = query[0, :, first:behind], key[0, :, : past + behind], value[0, :, : past + behind]
        blocks.append(block(*parts) if kept else _Anew.apply(block, *parts))
    return torch.cat(blocks, dim=1).transpose(0, 1)[None]


def _block(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
    """What the last tokens of a segment find: query [heads, tokens, width], key and value [groups, all, width]."""
    (heads, count, width), (groups, seen, _) = query.shape, key.shape
    unseen = query.new_full((count, seen), -torch.inf).triu(seen - count + 1)
    scores = torch.baddbmm(
        unseen.repeat(heads // groups, 1), query.reshape(groups, -1, width), key.mT, alpha=scaling
    )  # [groups, neighbours · tokens, all]
    return (scores.softmax(-1) @ value).view(heads, count, -1)


class _Anew(torch.autograd.Function):
    """`compute` of tensors, of which the gradient keeps these alone: it computes again what lies between."""

    @staticmethod
    def forward(ctx: Any, compute: Any, *tensors: torch.Tensor) -> Any:
        ctx.compute = compute
        ctx.save_for_backward(*tensors)
        return compute(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradient: torch.Tensor) -> Any:
        with torch.enable_grad():
            inputs = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
            made = ctx.compute(*inputs)
        return None, *torch.autograd.grad(made, inputs, gradient)


AttentionInterface.register(NAME, segment_attention)
AttentionMaskInterface.register(NAME, segment_mask)
