"""Shifted sparse attention (S²-Attn, section 3.2 of arXiv 2309.12307) for every model with the attention interface."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from swift_core import SwiftError

NAME = "swift_longlora"
"""What the names of this attention begin with, among those that transformers knows; the ratio follows."""


def use_groups(model: Any, ratio: float) -> None:
    """Let the language model attend within groups while it trains.

    Raises SwiftError for another attention than torch's.
    """
    config = model.config.get_text_config()
    name = config._attn_implementation
    if name not in ("sdpa", "eager") and not name.startswith(NAME):
        raise SwiftError(f"LongLoRA groups tokens for torch's attention: say --attn_impl sdpa, not {name}.")
    config._attn_implementation = f"{NAME}_{ratio}"
    AttentionInterface.register(config._attn_implementation, functools.partial(attend, ratio))
    AttentionMaskInterface.register(config._attn_implementation, sdpa_mask)


def use_whole_rows(model: Any) -> Any:
    """The model with the attention that it has outside LongLoRA."""
    config = model.config.get_text_config()
    if config._attn_implementation.startswith(NAME):
        config._attn_implementation = "sdpa"
    return model


def attend(
    ratio: float,
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    dropout: float = 0.0,
    scaling: Any = None,
    **more: Any,
) -> tuple[Any, None]:
    """transformers' attention function: in groups of this share of the row in training, plain otherwise.

    Returns [batch, tokens, heads, d].
    """
    length = query.shape[2]
    if not module.training or length != key.shape[2]:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **more)
    group = max(1, math.ceil(length * ratio))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = grouped_attention(query, key, value, attention_mask, group, scale, dropout)
    return out.transpose(1, 2).contiguous(), None


def grouped_attention(
    query: Any, key: Any, value: Any, mask: Any, group: int, scale: float, dropout: float
) -> torch.Tensor:
    """Causal attention within groups of `group` tokens; the second half of the heads shifted by half a group.

    query [batch, heads, tokens, d]; key and value may have fewer heads. mask: None, or [batch, 1, tokens, tokens],
    True where a token may look (or the number that is added to the scores). A shift moves the borders of groups;
    nothing wraps around the ends, so no token sees a later one.
    """
    repeats = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(repeats, dim=1) for t in (key, value))
    half = query.shape[1] // 2
    if query.shape[2] <= group:
        return _in_groups(query, key, value, mask, query.shape[2], 0, scale, dropout)
    plain, shifted = ((query[:, part], key[:, part], value[:, part]) for part in (slice(0, half), slice(half, None)))
    one = _in_groups(*plain, mask, group, 0, scale, dropout)
    other = _in_groups(*shifted, mask, group, group - group // 2, scale, dropout)
    return torch.cat([one, other], dim=1)


def _in_groups(
    query: Any, key: Any, value: Any, mask: Any, group: int, before: int, scale: float, dropout: float
) -> torch.Tensor:
    """Attention within groups, the first of which has `before` places that are empty."""
    batch, heads, length, size = query.shape
    count = math.ceil((before + length) / group)
    after = count * group - before - length
    q, k, v = (
        pad(t, (0, 0, before, after)).view(batch, heads, count, group, size).transpose(1, 2).flatten(0, 1)
        for t in (query, key, value)
    )
    allowed = _mask_of_groups(mask, batch, length, group, before, after, query)
    out = scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=dropout, scale=scale)
    out = out.view(batch, count, heads, group, size).transpose(1, 2).reshape(batch, heads, count * group, size)
    return out[:, :, before : before + length]


def _mask_of_groups(
    mask: Any, batch: int, length: int, group: int, before: int, after: int, like: torch.Tensor
) -> torch.Tensor:
    """[batch · groups, 1, group, group]: causal, without empty places, and as `mask` says."""
    total = before + length + after
    place = torch.arange(total, device=like.device)
    real = (place >= before) & (place < before + length)
    whole = (place[:, None] >= place[None, :]) & real[None, :]
    whole = whole | torch.eye(total, dtype=torch.bool, device=like.device)  # no row of nothing: softmax makes it NaN
    blocks = _blocks(whole[None, None], group)
    if mask is None:
        return blocks.repeat(batch, 1, 1, 1)
    given = _blocks(pad(mask, (before, after, before, after)), group)
    blocks = blocks.repeat(len(mask), 1, 1, 1)
    if mask.dtype is not torch.bool:
        return torch.where(blocks, given.to(like.dtype), torch.finfo(like.dtype).min)
    kept = blocks & given
    return kept | torch.eye(group, dtype=torch.bool, device=like.device)


def _blocks(mask: torch.Tensor, group: int) -> torch.Tensor:
    """The blocks on the diagonal of [batch, 1, tokens, tokens] as [batch · groups, 1, group, group]."""
    count = mask.shape[-1] // group
    cut = mask.view(mask.shape[0], count, group, count, group).diagonal(dim1=1, dim2=3)
    return cut.permute(0, 3, 1, 2).reshape(-1, 1, group, group)
