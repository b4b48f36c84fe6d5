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

Offsets = list[tuple[int, int]]


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


def _from_offsets(tokenizer: Any, spans: list[Span], ids: list[int], offsets: Offsets) -> dict[str, Any]:
    if _answer_starts_inside_a_token(spans, offsets):
        return _in_pieces(tokenizer, spans)
    return labelled(ids, _by_offsets(spans, offsets))


def _answer_starts_inside_a_token(spans: list[Span], offsets: Offsets) -> bool:
    borders = accumulate(len(s.text) for s in spans)
    asked = [b for b, s, after in zip(borders, spans, spans[1:], strict=False) if after.answer and not s.answer]
    ends = [o[1] for o in offsets]
    over = [bisect_right(ends, border) for border in asked]  # the first token that reaches beyond the border
    return any(n < len(offsets) and offsets[n][0] < border for n, border in zip(over, asked, strict=True))


def _by_offsets(spans: list[Span], offsets: Offsets) -> list[float]:
    """A weight per token: the largest of the spans whose characters it covers."""
    starts, ends = [o[0] for o in offsets], [o[1] for o in offsets]
    borders = [0, *accumulate(len(s.text) for s in spans)]
    weights = [0.0] * len(offsets)
    for number, span in sorted(enumerate(spans), key=lambda pair: pair[1].weight):
        first = bisect_right(ends, borders[number])
        behind = bisect_left(starts, borders[number + 1])
        if span.weight > 0:
            weights[first:behind] = [span.weight] * (behind - first)
    return weights


def _in_pieces(tokenizer: Any, spans: list[Span]) -> dict[str, Any]:
    """Each answer, and each stretch between answers, tokenized by itself."""
    ids: list[int] = []
    weights: list[float] = []
    for _, group in groupby(spans, key=lambda s: s.answer):
        piece, weighed = weighed_tokens(tokenizer, list(group))
        ids += piece
        weights += weighed
    return labelled(ids, weights)


def weighed_tokens(tokenizer: Any, parts: list[Span]) -> tuple[list[int], list[float]]:
    """(ids, weights) of parts that are tokenized as one text."""
    text = "".join(p.text for p in parts)
    if not getattr(tokenizer, "is_fast", False):
        ids = _ids(tokenizer, text)
        return ids, _by_prefix(tokenizer, parts, len(ids))
    done = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return list(done["input_ids"]), _by_offsets(parts, done["offset_mapping"])


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
