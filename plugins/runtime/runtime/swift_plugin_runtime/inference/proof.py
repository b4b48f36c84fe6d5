"""The proof that a model answers several sequences in one row as it answers each of them alone."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

from swift_plugin_runtime.batching.padding_free import counter_of, plain_positions, why_never_flat
from swift_plugin_runtime.batching.separation import LEAST_EXACT, MARGIN, quiet, rounding_bound
from swift_plugin_runtime.inference.adapters import Adapters, TokenAdapters
from swift_plugin_runtime.inference.ragged import Part, Row, Store, attending
from swift_plugin_runtime.loading.layers import base_of, keeps_logits
from swift_plugin_runtime.loading.shallow import shallow
from swift_plugin_runtime.tuning.aside import set_aside

LENGTHS = (16, 9)
"""Tokens of the two made-up sequences."""

STEPS = ((9, 0), (5, 4), (1, 4), (1, 1))
"""How many tokens of each go into one call: chunks with and without a past, single tokens, one sequence alone."""

ERRORS = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What a class may raise that does not expect such a row."""


def row_for(model: Any) -> Row:
    """Calls of the model with ragged rows, with positions as its family counts them."""
    count = counter_of(model)
    axes = 0 if count is plain_positions else count({"input_ids": [0]}).shape[0]
    return Row(model, axes, keeps_logits(model))


def tried_ragged(model: Any) -> tuple[str | None, int]:
    """(why the model cannot answer several sequences in one row, in words; bytes that a token's keys and values take).

    None and the bytes where it answers each sequence as alone. Two made-up sequences are taken in piece by piece and
    beside each other; their logits are compared with those of the plain model.
    """
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return "its adapter puts virtual tokens before every prompt", 0
    base = base_of(model)
    if base.config.is_encoder_decoder:
        return f"{type(base).__name__} is an encoder and a decoder", 0
    reason = why_never_flat(model) or _own_attention(base)
    return (reason, 0) if reason else _tried(model)


def _own_attention(base: Any) -> str | None:
    if getattr(base, "_can_set_attn_implementation", lambda: True)():
        return None
    return f"{type(base).__name__} computes its attention by itself, not through transformers' interface"


def _tried(model: Any) -> tuple[str | None, int]:
    stores = [Store(length) for length in LENGTHS]
    with shallow(model) as like:
        reason = _why_not(model, stores)
    if reason and like:
        like, stores = None, [Store(length) for length in LENGTHS]
        reason = _why_not(model, stores)
    return reason, sum(stores[0].size(layer) for layer in like or stores[0].layers)


def _why_not(model: Any, stores: list[Store]) -> str | None:
    sequences = made_up(model)
    try:
        with quiet(model), torch.no_grad():
            plain = [_plain(model, ids) for ids in sequences]
            bound = _bound(model, sequences, plain)
            with attending(model):
                difference = _difference(row_for(model), sequences, stores, plain)
    except ERRORS as error:
        return f"it takes no such rows ({type(error).__name__}: {str(error).splitlines()[0][:200]})"
    return None if difference <= bound else "its logits in such a row are others than alone"


def _bound(model: Any, sequences: list[list[int]], plain: list[torch.Tensor]) -> float:
    """The largest difference that counts as rounding: by padding, or by what the model's own cache makes of pieces.

    In few bits a single token goes through other kernels than a whole text, which alone moves its logits.
    """
    bound = rounding_bound(model, {"input_ids": sequences[1]})
    if bound == LEAST_EXACT:
        return bound
    found, wanted = [], []
    for place, ids in enumerate(sequences):
        cache, begin = DynamicCache(config=base_of(model).config), 0
        for count in filter(None, (counts[place] for counts in STEPS)):
            piece = torch.tensor([ids[begin : begin + count]], device=model.device)
            found.append(model(input_ids=piece, past_key_values=cache, use_cache=True).logits[0, -1].float())
            begin += count
            wanted.append(plain[place][begin - 1])
    return max(bound, MARGIN * apart(torch.stack(found), torch.stack(wanted)))


def made_up(model: Any) -> list[list[int]]:
    """Two texts of random ids, of `LENGTHS`."""
    chance, size = torch.Generator().manual_seed(0), base_of(model).config.get_text_config().vocab_size
    return [torch.randint(size, (length,), generator=chance).tolist() for length in LENGTHS]


def _plain(model: Any, ids: list[int]) -> torch.Tensor:
    """The plain model's logits, [tokens, vocabulary]."""
    row = torch.tensor([ids], device=model.device)
    return model(input_ids=row, attention_mask=torch.ones_like(row), use_cache=False).logits[0].float()


def _difference(row: Row, sequences: list[list[int]], stores: list[Store], plain: list[torch.Tensor]) -> float:
    """Between the logits behind every piece and the plain ones: root mean square, in their standard deviations."""
    found, wanted = [], []
    for counts in STEPS:
        parts = []
        for ids, store, logits, count in zip(sequences, stores, plain, counts, strict=True):
            if count:
                end = store.length + count
                parts.append(Part(store, ids[store.length : end]))
                wanted.append(logits[end - 1])
        found.append(row(parts))
    return apart(torch.cat(found), torch.stack(wanted))


def apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Root mean square of the difference of logits [tokens, vocabulary], in standard deviations of the wanted ones."""
    return float(((found - wanted).square().mean().sqrt() / wanted.std()).nan_to_num(torch.inf))


def mixes_tokens(model: Any, adapters: Adapters, added: str | None = None) -> bool:
    """Whether tokens of different adapters in one row have the logits that each adapter gives alone. Tries them.

    added: the one that is new among others that do mix; it is tried beside one of them.
    """
    names = [None, *adapters.labels]
    if added:
        names = [None, *[name for name in names[1:] if name != added][-1:], added]
    tried = [label for name in names if name for label in adapters.labels[name]]
    try:
        with set_aside(model, keep=tried), quiet(model), torch.no_grad():
            ids = made_up(model)[1]
            bound = rounding_bound(model, {"input_ids": ids})
            wanted = []
            for name in names:
                with adapters.active([name]):
                    wanted.append(_plain(model, ids)[-1])
            tokens = TokenAdapters(model, adapters)
            with attending(model), tokens.installed(), tokens.of([(name, len(ids)) for name in names]):
                found = row_for(model)([Part(Store(len(ids)), ids) for _ in names])
    except ERRORS:
        return False
    return apart(found, torch.stack(wanted)) <= bound
