"""Sequences of different lengths in one call of a model: a row [1, tokens] of their next tokens, a cache for each.

A cache of transformers holds one rectangle of keys. `Ragged` holds a buffer per layer and sequence, and the attention
registered here gives each sequence's tokens that sequence's keys alone, one after the other: on a CPU the loop costs no
more than padding does. The heads that share a key head are laid out as queries, because torch's kernel for grouped
heads takes three times as long in bfloat16 on a CPU.

A prompt with media is taken in whole, by the family's own forward, attention and positions; its keys and values go into
such a store, and the answer's tokens stand in the row like anybody else's.

Masks stay what transformers makes of them: its mask function is asked with a sequence's own positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, Cache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, causal_mask_function

from swift_plugin_runtime.batching.attention import lower_right, products, segment_attention, segment_mask
from swift_plugin_runtime.batching.collate import on_device, pad_batch
from swift_plugin_runtime.batching.padding_free import set_attention
from swift_plugin_runtime.loading.layers import base_of

NAME = "swift_ragged"
"""Name of this attention among transformers' attn_implementation."""

KNOWN = {
    "dropout", "scaling", "is_causal", "sliding_window", "softcap", "position_ids", "cache_position", "use_cache",
    "output_attentions", "output_hidden_states", "return_dict", "num_items_in_batch", "cu_seq_lens_q",
    "cu_seq_lens_k", "max_length_q", "max_length_k", "mm_token_type_ids", "token_type_ids", "logits_to_keep",
}  # fmt: skip
"""Keywords of an attention that are obeyed here, or change nothing. Any other (gpt-oss' `s_aux`) is refused."""

PLAIN_AND_AXES = 4
"""Lines of positions where plain ones stand in front of those along time, height and width."""

LEAST_BUFFER = 64
"""Tokens that a sequence's buffer holds at first; it doubles when they are full."""


class Store:
    """The keys and values of one sequence in every layer, in buffers [1, heads, capacity, width] that double.

    most: tokens that it will ever hold. length: tokens that it holds. shift: what is added to a token's place for its
    position, where a family counts a picture as fewer positions than tokens, or begins with 1.
    """

    def __init__(self, most: int):
        self.most, self.length, self.shift = most, 0, 0
        self.layers: dict[int, list[torch.Tensor]] = {}

    def write(self, layer: int, new: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Put keys and values [1, heads, tokens, width] behind those that are held."""
        behind = self.length + new[0].shape[2]
        if layer not in self.layers:
            self.layers[layer] = [part.new_empty(self._shape(part, 0, behind)) for part in new]
        for place, part in enumerate(new):
            held = self.layers[layer][place]
            if behind > held.shape[2]:
                grown = held.new_empty(self._shape(held, 2 * held.shape[2], behind))
                grown[:, :, : self.length] = held[:, :, : self.length]
                self.layers[layer][place] = held = grown
            held[:, :, self.length : behind] = part

    def _shape(self, like: torch.Tensor, wished: int, needed: int) -> list[int]:
        """No more than the sequence will need, no less than it needs now."""
        return [1, like.shape[1], max(min(max(wished, LEAST_BUFFER), self.most), needed), like.shape[3]]

    def read(self, layer: int, first: int, behind: int) -> list[torch.Tensor]:
        """Keys and values [1, heads, behind - first, width]."""
        return [part[:, :, first:behind] for part in self.layers[layer]]

    def copy(self, other: Store, length: int) -> None:
        """Begin with the first `length` tokens of another sequence."""
        for layer in other.layers:
            keys, values = other.read(layer, 0, length)
            self.write(layer, (keys, values))
        self.length, self.shift = length, other.shift

    def size(self, layer: int) -> int:
        """Bytes of a token in a layer; 0 where the layer keeps nothing of its own."""
        return sum(part.shape[1] * part.shape[3] * part.element_size() for part in self.layers.get(layer, []))


@dataclass(frozen=True)
class Span:
    """Where the next tokens of one sequence stand in the row: from `first` on, `count` of them."""

    store: Store
    first: int
    count: int

    @property
    def behind(self) -> int:
        """The place behind its last token in the row."""
        return self.first + self.count


class Held(torch.Tensor):
    """Keys or values as `Ragged.update` returns them: those of the row, which know their cache and layer."""

    cache: Ragged
    layer: int


class Ragged(Cache):
    """A cache of transformers over the stores of the spans of one row. It counts as empty: positions are given."""

    def __init__(self, spans: Sequence[Span]):
        super().__init__(layers=[])
        self.spans = spans

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any) -> Any:
        """Write keys and values [1, heads, tokens, width] into the stores; returns them as `Held`."""
        for span in self.spans:
            part = slice(span.first, span.behind)
            span.store.write(layer, (keys[:, :, part], values[:, :, part]))
        return self._held(keys, layer), self._held(values, layer)

    def _held(self, states: torch.Tensor, layer: int) -> torch.Tensor:
        held = states.as_subclass(Held)
        held.cache, held.layer = self, layer
        return held

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """None: the model is given its positions."""
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """None: the mask function is asked with each sequence's own positions."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """No keys at all: so `ragged_mask` knows this cache."""
        return 0, 0


class Filling(Cache):
    """A cache of transformers that writes the keys and values of one whole prompt into a store, as they are.

    length: tokens of the prompt.
    """

    def __init__(self, store: Store, length: int):
        super().__init__(layers=[])
        self.store, self.length = store, length

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any) -> Any:
        """Write keys and values [1, heads, tokens, width]; returns them.

        Raises ValueError for those of anything but the prompt's tokens (cross attention).
        """
        if keys.shape[2] != self.length:
            raise ValueError(f"its layer {layer} keeps {keys.shape[2]} keys for {self.length} tokens")
        self.store.write(layer, (keys, values))
        return keys, values

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """None: nothing stands before the prompt."""
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """None, likewise."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """(how many keys there are, the first one's place)."""
        return query_length, 0


class Sight(torch.Tensor):
    """An empty tensor that stands where a mask would, with the mask function of its kind of layers."""

    function: Any
    known: dict[tuple[int, int], tuple[int, torch.Tensor | None]]

    def of(self, past: int, count: int) -> tuple[int, torch.Tensor | None]:
        """(the first key that the tokens see, their mask [count, keys from there on]); None: all keys before them.

        past: tokens before them. count: how many they are.
        """
        if self.function is causal_mask_function:
            return 0, None
        if (past, count) not in self.known:
            self.known[past, count] = self._asked(past, count)
        return self.known[past, count]

    def _asked(self, past: int, count: int) -> tuple[int, torch.Tensor | None]:
        zero = torch.zeros((), dtype=torch.long, device=self.device)
        places = torch.arange(past + count, device=self.device)
        seen = torch.as_tensor(self.function(zero, zero, places[past:, None], places[None]), device=self.device)
        seen = seen.expand(count, past + count)
        first = int(seen.any(0).int().argmax())
        seen = seen[:, first:]
        plain = bool(seen.equal(torch.ones_like(seen).tril(past - first)))
        return first, None if plain else seen


def ragged_mask(batch_size: int, q_length: int, kv_length: int, mask_function: Any, **more: Any) -> Any:
    """The mask function itself where the cache is `Ragged`; any other batch gets the mask of segments."""
    if kv_length:
        return segment_mask(batch_size, q_length, kv_length, mask_function, **more)
    if more.get("use_vmap") or more.get("attention_mask") is not None:
        raise ValueError("its mask depends on more than positions")
    sight = torch.empty(0, dtype=torch.bool, device=more.get("device", "cpu")).as_subclass(Sight)
    sight.function, sight.known = mask_function, {}
    return sight


def ragged_attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **more: Any
) -> tuple[torch.Tensor, None]:
    """Attention of the row's spans, each over its own store; any other batch takes the attention of segments.

    query: [1, heads, tokens, width]. Returns [1, tokens, heads, width]. Raises ValueError where the model's attention
    is more than this.
    """
    if not isinstance(attention_mask, Sight):
        if isinstance(key, Held):
            raise ValueError("its attention is not handed the mask of its cache")
        return segment_attention(module, query, key, value, attention_mask, **more)
    unknown = sorted(name for name in more.keys() - KNOWN if more[name] is not None and more[name] is not False)
    if unknown:
        raise ValueError(f"its attention is given {', '.join(unknown)}, which this attention does not know")
    if not isinstance(key, Held) or not hasattr(key, "cache"):
        raise ValueError("its attention is not handed the keys of its cache")
    return _attend(module, query, key.cache.spans, key.layer, attention_mask, more), None


def _attend(module: Any, query: torch.Tensor, spans: Any, layer: int, sight: Sight, more: dict[str, Any]) -> Any:
    tokens = query.as_subclass(torch.Tensor)[0].transpose(0, 1).contiguous()  # [tokens, heads, width]
    parts = []
    for span in spans:
        past = span.store.length
        first, mask = sight.of(past, span.count)
        keys, values = span.store.read(layer, first, past + span.count)
        asked = tokens[span.first : span.behind]
        if more.get("softcap") is not None:
            parts.append(_capped(asked, keys, values, mask, more))
        elif span.count == 1 and mask is None:
            grouped = asked.view(1, keys.shape[1], -1, asked.shape[2])
            told = scaled_dot_product_attention(grouped, keys, values, scale=more.get("scaling"))
            parts.append(told.reshape(1, asked.shape[1], -1))
        else:
            parts.append(_chunk(module, asked.transpose(0, 1)[None], keys, values, mask, more)[0])
    return torch.cat(parts)[None]


def _chunk(
    module: Any, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: Any, more: dict[str, Any]
) -> torch.Tensor:
    """Several tokens of one sequence, query [1, heads, tokens, width]: as [1, tokens, heads, width]."""
    if mask is None and query.device.type == "cpu" and query.dtype == torch.bfloat16:
        return products(query, keys, values, more.get("scaling"))
    count, length = query.shape[2], keys.shape[2]
    if mask is None and length > count:
        mask = lower_right(count, length, query.device)
    mask = None if mask is None else mask[None, None]
    return sdpa_attention_forward(module, query, keys, values, mask, scaling=more.get("scaling"))[0]


def _capped(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: Any, more: dict[str, Any]
) -> torch.Tensor:
    """Attention whose scores bend towards ±softcap (Gemma 2), query [tokens, heads, width]: of the same shape."""
    count, heads, width = query.shape
    length, groups, cap = keys.shape[2], keys.shape[1], more["softcap"]
    asked = query.transpose(0, 1).reshape(groups, -1, width)
    scores = asked @ keys[0].mT * (more.get("scaling") or width**-0.5)
    scores = (torch.tanh(scores / cap) * cap).view(heads, count, length)
    seen = lower_right(count, length, query.device) if mask is None else mask
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1, dtype=torch.float32).to(query.dtype)
    return (weights.view(groups, -1, length) @ values[0]).view(heads, count, -1).transpose(0, 1)


AttentionInterface.register(NAME, ragged_attention)
AttentionMaskInterface.register(NAME, ragged_mask)


@dataclass
class Part:
    """Tokens that one sequence takes in with the next call. wanted: behind how many, the last, logits are due.

    inputs: the encoded prompt, where it has media and is taken in whole.
    """

    store: Store
    ids: list[int]
    wanted: int = 1
    inputs: dict[str, Any] | None = None


def row_of(parts: Sequence[Part]) -> tuple[list[int], list[int], list[int], list[Span]]:
    """(token ids, positions, places of the wanted tokens, spans) of the parts end to end."""
    ids: list[int] = []
    positions: list[int] = []
    places: list[int] = []
    spans = []
    for part in parts:
        spans.append(Span(part.store, len(ids), len(part.ids)))
        ids += part.ids
        begin = part.store.length + part.store.shift
        positions += range(begin, begin + len(part.ids))
        places += range(len(ids) - part.wanted, len(ids))
    return ids, positions, places, spans


@contextmanager
def attending(model: Any, name: str = NAME) -> Iterator[None]:
    """The model with the attention of this name, that of ragged rows, then with the one before."""
    base = base_of(model)
    before = attention_of(model)
    set_attention(base, name)
    try:
        yield
    finally:
        set_attention(base, before)


def attention_of(model: Any) -> str:
    """The name of the language model's attention."""
    name: str = base_of(model).config.get_text_config()._attn_implementation
    return name


class Row:
    """Calls of one model with rows of parts, while it has the attention of ragged rows.

    axes: along how many axes the family counts positions, 0: plainly. keeps: whether it makes chosen logits alone.
    """

    def __init__(self, model: Any, axes: int, keeps: bool):
        self.model, self.axes, self.keeps = model, axes, keeps
        self.own = attention_of(model)
        """The name of the attention that prompts with media are read with: what the model came with."""
        self.calls = 0
        """How often the model was called."""

    @torch.no_grad()
    def __call__(self, parts: Sequence[Part]) -> torch.Tensor:
        """Logits behind each wanted token, as float32 [wanted, vocabulary]; the stores then hold the parts' tokens."""
        ids, positions, places, spans = row_of(parts)
        device = self.model.device
        where = torch.tensor([positions], device=device)
        kept = torch.tensor(places or [0], device=device)
        self.calls += 1
        told: dict[str, Any] = {"logits_to_keep": kept} if self.keeps else {}
        logits = self.model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=where.expand(self.axes, 1, -1) if self.axes else where,
            past_key_values=Ragged(spans),
            use_cache=True,
            **told,
        ).logits[0]
        for span in spans:
            span.store.length += span.count
        return (logits if self.keeps else logits[kept])[: len(places)].float()

    @torch.no_grad()
    def whole(self, part: Part) -> torch.Tensor:
        """Logits behind the wanted tokens of a whole prompt with media, as float32 [wanted, vocabulary].

        The family's own forward reads it alone; the store, empty before, then holds it and knows how positions go on.
        """
        inputs = {k: on_device(self.model.device, v) for k, v in pad_batch([part.inputs or {}], 0).items()}
        told: dict[str, Any] = {"logits_to_keep": max(part.wanted, 1)} if self.keeps else {}
        cache, length = Filling(part.store, len(part.ids)), len(part.ids)
        self.calls += 1
        with attending(self.model, self.own), _positions(self.model) as seen:
            logits = self.model(**inputs, past_key_values=cache, use_cache=True, **told).logits[0]
        part.store.length, part.store.shift = length, _next(seen, length) - length
        return logits[len(logits) - part.wanted :].float()


@contextmanager
def _positions(model: Any) -> Iterator[list[torch.Tensor]]:
    """Inside, the positions that the language model is given, call by call."""
    seen: list[torch.Tensor] = []

    def look(_: Any, __: Any, named: dict[str, Any]) -> None:
        if named.get("position_ids") is not None:
            seen.append(named["position_ids"])

    handle = base_of(model).get_decoder().register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def _next(seen: list[torch.Tensor], length: int) -> int:
    """The position behind those that were given, plain ones in front of the axes left out; else `length`."""
    if not seen:
        return length
    positions = seen[-1]
    axes = positions[1:] if positions.dim() == 3 and len(positions) == PLAIN_AND_AXES else positions
    return int(axes.max()) + 1
