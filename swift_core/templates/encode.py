"""From spans to token ids, labels and weights.

The whole conversation is tokenized in one call, as a chat template's text would be, and labels come from
character offsets. A token that covers characters of two spans takes the larger weight. Where a token
would straddle the start of an answer, the row is tokenized in pieces instead, so that the prompt that the
model sees at inference is always a prefix of what it was trained on.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate, groupby
from typing import Any

from swift_core.templates.render import Span

IGNORED = -100
"""The label of a position that is not trained (PyTorch's cross-entropy ignore_index)."""


def encode_spans(tokenizer: Any, batch: list[list[Span]]) -> list[dict[str, Any]]:
    """One dict of `input_ids`, `labels` and, where weights are not just 0 and 1, `loss_scale` per row."""
    if not getattr(tokenizer, "is_fast", False):
        return [_in_pieces(tokenizer, spans) for spans in batch]
    texts = ["".join(s.text for s in spans) for spans in batch]
    done = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False)
    return [
        _from_offsets(tokenizer, spans, ids, offsets)
        for spans, ids, offsets in zip(batch, done["input_ids"], done["offset_mapping"], strict=True)
    ]


def _from_offsets(tokenizer: Any, spans: list[Span], ids: list[int], offsets: list[Any]) -> dict[str, Any]:
    starts = [o[0] for o in offsets]
    ends = [o[1] for o in offsets]
    borders = [0, *accumulate(len(s.text) for s in spans)]
    weights = [0.0] * len(ids)
    for number, span in sorted(enumerate(spans), key=lambda pair: pair[1].weight):
        first = bisect_right(ends, borders[number])
        behind = bisect_left(starts, borders[number + 1])
        if span.weight > 0:
            if first < len(ids) and starts[first] < borders[number] and not spans[number - 1].answer:
                return _in_pieces(tokenizer, spans)
            weights[first:behind] = [span.weight] * (behind - first)
    return labelled(ids, weights)


def _in_pieces(tokenizer: Any, spans: list[Span]) -> dict[str, Any]:
    """Each answer, and each stretch between answers, tokenized by itself; weights within by prefix length."""
    ids: list[int] = []
    weights: list[float] = []
    for _, group in groupby(spans, key=lambda s: s.answer):
        parts = list(group)
        piece = _ids(tokenizer, "".join(p.text for p in parts))
        ids += piece
        weights += _by_prefix(tokenizer, parts, len(piece))
    return labelled(ids, weights)


def _by_prefix(tokenizer: Any, parts: list[Span], length: int) -> list[float]:
    """A weight per token of one piece: the token count of each prefix tells where a part ends."""
    weights: list[float] = []
    text = ""
    for part in parts[:-1]:
        text += part.text
        upto = min(len(_ids(tokenizer, text)), length)
        weights += [part.weight] * (upto - len(weights))
    return weights + [parts[-1].weight] * (length - len(weights))


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def labelled(ids: list[int], weights: list[float]) -> dict[str, Any]:
    """Ids and weights as a training row."""
    row: dict[str, Any] = {
        "input_ids": ids,
        "labels": [i if w > 0 else IGNORED for i, w in zip(ids, weights, strict=True)],
    }
    if any(w not in (0.0, 1.0) for w in weights):
        row["loss_scale"] = weights
    return row
