"""From spans to token ids, labels and weights.

A text is cut where an answer starts, so that the prompt that the model sees at inference is a prefix of what it was
trained on, and at the words that a tokenizer keeps apart (`<|im_end|>`), where a cut changes nothing. Each part is
tokenized by itself. Where a part holds pieces of several weights, character offsets say which tokens are whose; a
token that covers characters of two pieces takes the larger weight.

A tokenizer that cannot take parts (SentencePiece's, which marks the start of a text) sees the whole conversation, and
is given parts only where a token would straddle the start of an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any

from swift_core.templates.added_tokens import Chunk, Words, words_of
from swift_core.templates.plain_text import GUARD, cut_at_guards
from swift_core.templates.render import Span

IGNORED = -100
"""The label of a position that is not trained (PyTorch's cross-entropy ignore_index)."""

TokenRange = tuple[int, int, float]
"""First token, the token behind the last, and their weight in the loss."""


def encode_spans(tokenizer: Any, batch: list[list[Span]]) -> list[dict[str, Any]]:
    """One dict of `input_ids`, `labels` and, where weights are not just 0 and 1, `loss_scale` per row."""
    return [_row(ids, runs) for ids, runs in weighed(tokenizer, batch)]


def labelled(ids: list[int], weights: list[float]) -> dict[str, Any]:
    """Ids and a weight for each as a training row. The first token is never trained: no position predicts it."""
    return _row(ids, [(n, n + 1, weight) for n, weight in enumerate(weights) if weight > 0])


def _row(ids: list[int], runs: list[TokenRange]) -> dict[str, Any]:
    labels, scaled = [IGNORED] * len(ids), False
    for first, behind, weight in runs:
        labels[first:behind] = ids[first:behind]
        scaled |= weight != 1.0
    if labels:
        labels[0] = IGNORED
    row: dict[str, Any] = {"input_ids": ids, "labels": labels}
    if scaled:
        row["loss_scale"] = _spread(runs, len(ids))
    return row


def _spread(runs: list[TokenRange], length: int) -> list[float]:
    weights = [0.0] * length
    for first, behind, weight in runs:
        weights[first:behind] = [weight] * (behind - first)
    return [0.0, *weights[1:]] if weights else []


def weighed(tokenizer: Any, batch: list[list[Span]]) -> list[tuple[list[int], list[TokenRange]]]:
    """Token ids and the runs of trained tokens, a pair per row. A text is cut at guards (`plain_text`), too."""
    if any(GUARD in span.text for spans in batch for span in spans):
        return [_joined(weighed(tokenizer, cut_at_guards(spans))) for spans in batch]
    if not getattr(tokenizer, "is_fast", False):
        return [_in_pieces(tokenizer, spans) for spans in batch]
    words = words_of(tokenizer)
    return _by_parts(tokenizer, words, batch) if words else _by_offsets(tokenizer, batch)


def _by_parts(tokenizer: Any, words: Words, batch: list[list[Span]]) -> list[tuple[list[int], list[TokenRange]]]:
    """Chunk by chunk, those of all rows in one call; with offsets, which cost a fifth more, where weights are mixed."""
    rows = [words.parts(spans) for spans in batch]
    by_text = words.ids([text for parts in rows for part in parts if type(part) is tuple for text in part[0]])
    mixed = iter(_by_offsets(tokenizer, [part for parts in rows for part in parts if type(part) is list]))
    return [_laid(parts, by_text, mixed) for parts in rows]


def _laid(
    parts: list[Chunk], by_text: dict[str, list[int]], mixed: Iterator[tuple[list[int], list[TokenRange]]]
) -> tuple[list[int], list[TokenRange]]:
    """The parts of a row one behind the other; texts of one weight are in `by_text`, the others come from `mixed`."""
    ids: list[int] = []
    runs: list[TokenRange] = []
    for part in parts:
        first = len(ids)
        if type(part) is tuple:
            texts, weight = part
            for text in texts:
                ids += by_text[text]
            if weight > 0:
                runs.append((first, len(ids), weight))
        else:
            own, inside = next(mixed)
            runs += _moved(inside, first)
            ids += own
    return ids, runs


def _moved(runs: list[TokenRange], by: int) -> list[TokenRange]:
    return [(first + by, behind + by, weight) for first, behind, weight in runs]


def _by_offsets(tokenizer: Any, batch: list[list[Span]]) -> list[tuple[list[int], list[TokenRange]]]:
    """Each text in one piece, with offsets."""
    if not batch:
        return []
    texts = ["".join([s.text for s in spans]) for spans in batch]
    done = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False)
    return [
        _aligned(tokenizer, spans, ids, encoding)
        for spans, ids, encoding in zip(batch, done["input_ids"], done.encodings, strict=True)
    ]


def _aligned(tokenizer: Any, spans: list[Span], ids: list[int], encoding: Any) -> tuple[list[int], list[TokenRange]]:
    """The ids of a whole text, weighed; tokenized anew in parts where a token straddles an answer's start."""
    borders = list(accumulate([len(s.text) for s in spans], initial=0))
    places = [_place(encoding, border, borders[-1]) or (len(ids), False) for border in borders]
    cuts = [n for n in range(1, len(spans)) if places[n][1] and spans[n].answer and not spans[n - 1].answer]
    if cuts:
        return _joined(_by_offsets(tokenizer, [spans[a:b] for a, b in pairwise([0, *cuts, len(spans)])]))
    runs = [
        (first, behind + straddled, span.weight)
        for span, ((first, _), (behind, straddled)) in zip(spans, pairwise(places), strict=True)
        if span.weight > 0
    ]
    return ids, sorted(runs, key=_weight)  # of two spans that share a token, the heavier is written last


def _joined(parts: list[tuple[list[int], list[TokenRange]]]) -> tuple[list[int], list[TokenRange]]:
    ids: list[int] = []
    runs: list[TokenRange] = []
    for part, inside in parts:
        runs += _moved(inside, len(ids))
        ids += part
    return ids, runs


def _weight(run: TokenRange) -> float:
    return run[2]


def _place(encoding: Any, border: int, length: int) -> tuple[int, bool] | None:
    """The first token that reaches behind a border between two characters, and whether it begins before it."""
    for place in range(border, length):  # a character without a token is white space that the tokenizer drops
        token = encoding.char_to_token(place)
        if token is not None:
            return token, encoding.token_to_chars(token)[0] < border
    return None


def _in_pieces(tokenizer: Any, spans: list[Span]) -> tuple[list[int], list[TokenRange]]:
    """For a tokenizer without offsets: each answer begins anew, the length of each prefix tells where it ends."""
    cuts = [n for n in range(1, len(spans)) if spans[n].answer and not spans[n - 1].answer]
    return _joined([_by_prefix(tokenizer, spans[a:b]) for a, b in pairwise([0, *cuts, len(spans)])])


def _by_prefix(tokenizer: Any, spans: list[Span]) -> tuple[list[int], list[TokenRange]]:
    texts = list(accumulate(s.text for s in spans))
    ids = _ids(tokenizer, texts[-1] if texts else "")
    ends = [0, *(min(len(_ids(tokenizer, text)), len(ids)) for text in texts[:-1]), len(ids)]
    return ids, [(a, b, s.weight) for s, (a, b) in zip(spans, pairwise(ends), strict=True) if s.weight > 0]


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
