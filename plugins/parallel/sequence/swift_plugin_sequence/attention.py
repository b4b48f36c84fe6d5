"""Attention over rows whose tokens are on several processes.

Two ways are combined. As far as the heads go round, each process exchanges its tokens of all heads for all tokens of
its heads (Ulysses, arXiv 2309.14509). Beyond that, a process keeps its own queries and gathers the keys and values of
the others (as in Llama 3's training, arXiv 2407.21783, section 3.3.2). Its queries are then two pieces, one from
the front of the row and one from the back, as many from the end as from the beginning (zigzag): under a causal mask
every process has the same work.

No mask of tokens by tokens is ever made: rows are known by where they begin, and each is handed to sdpa alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from swift_plugin_runtime.batching.attention import segment_attention, segment_mask
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

NAME = "swift_sequence"
"""Name of this attention among transformers' attn_implementation."""

BLOCK = 1024
"""Queries that share a mask, where one is needed."""


@dataclass(frozen=True)
class Groups:
    """This process among those that share its rows: `heads` and `ring` are groups of torch.distributed."""

    heads: Any
    ring: Any

    @property
    def sizes(self) -> tuple[int, int]:
        """How many processes share the heads, and how many such groups share the queries."""
        return dist.get_world_size(self.heads), dist.get_world_size(self.ring)

    @property
    def ranks(self) -> tuple[int, int]:
        """This process's place in each."""
        return dist.get_rank(self.heads), dist.get_rank(self.ring)

    @property
    def multiple(self) -> int:
        """What the length of a row must be a multiple of."""
        heads, ring = self.sizes
        return heads if ring == 1 else 2 * heads * ring


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a batch are.

    starts: of each row of the batch, the places where a sequence begins that sees itself alone.
    length: tokens of a row, those included that fill it up.
    """

    groups: Groups
    starts: list[list[int]]
    length: int

    def pieces(self) -> list[tuple[int, int]]:
        """(begin, end) in the row of each piece of this process's queries, in the order in which it holds them."""
        (_, ring), (_, place) = self.groups.sizes, self.groups.ranks
        size = self.length // (1 if ring == 1 else 2 * ring)
        return [(n * size, (n + 1) * size) for n in ([0] if ring == 1 else [place, 2 * ring - 1 - place])]

    def parts(self, row: int) -> Iterator[tuple[int, int, int]]:
        """(first query, behind the last, first key), as places in the row: queries of one sequence in one piece."""
        for begin, end in self.pieces():
            for first, behind in pairwise([*self.starts[row], self.length]):
                low, high = max(first, begin), min(behind, end)
                if low < high:
                    yield low, high, first


class Shared(torch.Tensor):
    """An empty tensor that stands where a mask would, with the layout of the batch."""

    rows: Layout


LAYOUT: ContextVar[Layout | None] = ContextVar("layout", default=None)
"""The layout of the batch that the model is called with; None: it sees its rows whole."""


def shared_mask(batch_size: int, q_length: int, kv_length: int, **more: Any) -> torch.Tensor | None:
    """The layout of a batch that is shared, as an empty tensor; else what `segment_mask` gives, of its shape."""
    layout = LAYOUT.get()
    if layout is None:
        return segment_mask(batch_size, q_length, kv_length, **more)
    mask = torch.empty(0, dtype=torch.bool, device=more.get("device", "cpu")).as_subclass(Shared)
    mask.rows = layout
    return mask


def shared_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention of [rows, heads, mine, width] over all tokens of the rows; returns [rows, mine, heads, width].

    Where `attention_mask` holds no layout, that of segments.
    """
    if not isinstance(attention_mask, Shared):
        more |= {"dropout": dropout, "scaling": scaling, "sliding_window": sliding_window}
        return segment_attention(module, query, key, value, attention_mask, **more)
    layout, how = attention_mask.rows, {"scale": scaling, "dropout_p": dropout}
    given = (*_as_many_heads(query, key, value, layout.groups.sizes[0]), layout, sliding_window, how)
    if layout.groups.sizes[1] > 1 and torch.is_grad_enabled():  # gathered keys are gathered again, not kept
        return checkpoint(_attend, *given, use_reentrant=False), None
    return _attend(*given), None


def _as_many_heads(query: Any, key: Any, value: Any, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Keys and values with each head repeated until `size` processes can share them."""
    times = next(n for n in range(1, query.shape[1] // key.shape[1] + 1) if key.shape[1] * n % size == 0)
    return query, key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)


def _attend(query: Any, key: Any, value: Any, layout: Layout, window: int | None, how: dict[str, Any]) -> torch.Tensor:
    heads = layout.groups.heads
    query, key, value = (Exchange.apply(t, 1, 2, heads) for t in (query, key, value))
    key, value = (_whole(t, layout.groups) for t in (key, value))
    held = dict(zip(layout.pieces(), query.chunk(len(layout.pieces()), dim=2), strict=True))
    rows = [torch.cat([*_row(held, key, value, layout, row, window, how)], dim=2) for row in range(len(query))]
    return Exchange.apply(torch.cat(rows), 2, 1, heads).transpose(1, 2)


def _row(held: Any, key: Any, value: Any, layout: Layout, row: int, window: Any, how: Any) -> Iterator[torch.Tensor]:
    """The attention of one row's queries, part by part."""
    for low, high, first in layout.parts(row):
        begin, piece = next((b, q) for (b, e), q in held.items() if b <= low < e)
        asked = piece[row : row + 1, :, low - begin : high - begin]
        yield causal(asked, key[row : row + 1, :, first:high], value[row : row + 1, :, first:high], window, how)


def causal(query: Any, key: Any, value: Any, window: int | None, how: dict[str, Any]) -> torch.Tensor:
    """Attention [1, heads, queries, width] of the last tokens of a sequence over the sequence up to each of them.

    window: how many tokens each sees, itself included; None for all.
    """
    how = {**how, "enable_gqa": query.shape[1] != key.shape[1]}
    count, total = query.shape[2], key.shape[2]
    if count == total and (window is None or count <= window):
        return scaled_dot_product_attention(query, key, value, is_causal=count > 1, **how)
    blocks = []
    for first in range(total - count, total, BLOCK):
        behind = min(first + BLOCK, total)
        low = 0 if window is None else max(0, first - window + 1)
        places = torch.arange(low, behind, device=query.device)
        ahead = places[first - low :, None] - places
        seen = (ahead >= 0) & (ahead < (window or total))
        asked = query[:, :, first - (total - count) : behind - (total - count)]
        keys, values = key[:, :, low:behind], value[:, :, low:behind]
        blocks.append(scaled_dot_product_attention(asked, keys, values, attn_mask=seen, **how))
    return torch.cat(blocks, dim=2)


# -- between the processes ------------------------------------------------------------------------------------
class Exchange(torch.autograd.Function):
    """Each process gives every other a part along one dimension, and joins what it gets along another."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, dealt: int, joined: int, group: Any) -> torch.Tensor:
        """As `_exchanged`: of [..., dealt, ..., joined, ...] a part of `dealt`, and all of `joined`, any shape."""
        ctx.back = (joined, dealt, group)
        return _exchanged(tensor, dealt, joined, group)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return _exchanged(gradient, *ctx.back), None, None, None


def _exchanged(tensor: torch.Tensor, dealt: int, joined: int, group: Any) -> torch.Tensor:
    size = dist.get_world_size(group)
    if size == 1:
        return tensor
    given = torch.stack(tensor.chunk(size, dim=dealt)).contiguous()
    taken = torch.empty_like(given)
    dist.all_to_all_single(taken, given, group=group)
    return torch.cat(tuple(taken), dim=joined)


class Gather(torch.autograd.Function):
    """The tensors of all processes of a group, [processes, *shape]."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, group: Any) -> torch.Tensor:
        """[processes, *shape]; the gradient of each tensor is the sum of what all processes ask for."""
        ctx.group = group
        taken = [torch.empty_like(tensor) for _ in range(dist.get_world_size(group))]
        dist.all_gather(taken, tensor.contiguous(), group=group)
        return torch.stack(taken)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        taken = torch.empty_like(gradient)
        dist.all_to_all_single(taken, gradient.contiguous(), group=ctx.group)
        return taken.sum(0), None


def _whole(tensor: torch.Tensor, groups: Groups) -> torch.Tensor:
    """Keys or values [rows, heads, tokens, width] in the order of the row, from the pieces that the ring holds."""
    ring = groups.sizes[1]
    if ring == 1:
        return tensor
    front, back = Gather.apply(tensor, groups.ring).chunk(2, dim=3)
    return torch.cat([*front, *reversed(back)], dim=2)


class Sum(torch.autograd.Function):
    """The sum over the processes of groups; the gradient is that of the sum of what all processes make of it."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, groups: Groups) -> torch.Tensor:
        """Every process gets the same sum, of the tensor's shape, and is taken to do the same with it."""
        ctx.times = groups.sizes[0] * groups.sizes[1]
        total = tensor.clone()
        for group in (groups.heads, groups.ring):
            dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return gradient * ctx.times, None


AttentionInterface.register(NAME, shared_attention)
AttentionMaskInterface.register(NAME, shared_mask)
