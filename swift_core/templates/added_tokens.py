"""A tokenizer's added words (`<|im_end|>`), which it looks for before anything else.

What stands between two of them is tokenized without a look at the rest. So a text may be cut there, and its parts
tokenized one by one, with the tokens of the whole. That holds for tokenizers whose steps do the same to a piece
wherever it stands; one that marks the start of a text (SentencePiece's `▁`) must see it whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

from swift_core.templates.render import Span

Chunk = tuple[list[str], float] | list[Span]
"""Texts of one weight, each tokenized by itself, or the spans of one text that differ in weight."""

STEPS = {
    "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Replace",
    "ByteLevel", "Split", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit", "BertPreTokenizer",
    "CharDelimiterSplit", "UnicodeScripts",
}  # fmt: skip
"""Normalizers and pre-tokenizers, as `tokenizers` names them, that do the same to a piece wherever it stands."""

MOST = 1000
"""Words that a regular expression still finds fast; a tokenizer with more of them sees its texts whole."""

SHORT, REMEMBERED = 32, 10_000
"""Characters of a text whose ids are remembered (`user\\n`, `yes`), and how many such texts."""


class Words:
    """The added words of a tokenizer, and the ids of short texts that were met before."""

    def __init__(self, tokenizer: Any, ids: dict[str, int]):
        self.tokenizer = tokenizer
        longest_first = "|".join(map(re.escape, sorted(ids, key=len, reverse=True)))
        self.split = re.compile(f"({longest_first})" if ids else "(?!)").split
        self.known = {word: [number] for word, number in ids.items()}

    def parts(self, spans: list[Span]) -> list[Chunk]:
        """The text in parts, cut at words and where an answer starts."""
        starts = [n for n in range(1, len(spans)) if spans[n].answer and not spans[n - 1].answer]
        parts: list[Chunk] = []
        for first, behind in pairwise([0, *starts, len(spans)]):
            parts += self._cut(spans[first:behind])
        return parts

    def _cut(self, spans: list[Span]) -> Iterator[Chunk]:
        rest = iter(spans)
        texts: list[str] = []
        weight, left = 0.0, 0  # of the span at hand: its weight, and the characters that are still to come
        for text in filter(None, self.split("".join([s.text for s in spans]))):
            if texts and len(text) > left:  # the span ends before this text or in it
                yield texts, weight
                texts = []
            if not left:
                span = next(rest)
                weight, left = span.weight, len(span.text)
            if len(text) <= left:
                left -= len(text)
                texts.append(text)
                continue
            mixed, at = [Span(text[:left], weight)], left
            while at < len(text):
                span = next(rest)
                mixed.append(Span(text[at : at + len(span.text)], span.weight))
                at += len(span.text)
            same = all(one.weight == weight for one in mixed)
            yield ([text], weight) if same else mixed
            weight, left = span.weight, at - len(text)
        if texts:
            yield texts, weight

    def ids(self, texts: list[str]) -> dict[str, list[int]]:
        """Each text with its token ids; short ones that were met before are looked up."""
        different = dict.fromkeys(texts)
        fresh = [text for text in different if text not in self.known]
        done = self._core().encode_batch_fast(fresh, add_special_tokens=False)
        new = {text: encoding.ids for text, encoding in zip(fresh, done, strict=True)}
        by_text = {text: self.known[text] for text in different if text not in new} | new
        if len(self.known) < REMEMBERED:
            self.known.update((text, ids) for text, ids in new.items() if len(text) <= SHORT)
        return by_text

    def _core(self) -> Any:
        """The tokenizer's core, without the padding and cutting that an earlier call may have left set."""
        core = self.tokenizer.backend_tokenizer
        if core.truncation:
            core.no_truncation()
        if core.padding:
            core.no_padding()
        if core.encode_special_tokens:
            core.encode_special_tokens = False
        return core


def words_of(tokenizer: Any) -> Words | None:
    """The words at which a fast tokenizer's texts may be cut; None for one that must see them whole."""
    encoders = [getattr(type(tokenizer), name, None) for name in ("__call__", "_encode_plus")]
    if all(getattr(e, "__module__", "").startswith("transformers.tokenization_utils") for e in encoders):
        return _words_of(tokenizer, len(tokenizer))
    return None  # a class with an own idea of encoding


@lru_cache(maxsize=8)
def _words_of(tokenizer: Any, _: int) -> Words | None:
    """The number of words is a second key, as words may be added."""
    core = tokenizer.backend_tokenizer
    if tokenizer.split_special_tokens or not (_local(core.normalizer) and _local(core.pre_tokenizer)):
        return None
    first = {n: word for n, word in tokenizer.added_tokens_decoder.items() if not word.normalized}  # others come later
    if len(first) > MOST or any(word.lstrip or word.rstrip or word.single_word for word in first.values()):
        return None
    return Words(tokenizer, {word.content: number for number, word in first.items()})


def _local(step: Any) -> bool:
    """Whether a normalizer or pre-tokenizer, with all inside it, is one of STEPS and adds nothing to a text's start."""
    return step is None or _each_local(json.loads(step.__getstate__()))


def _each_local(step: dict[str, Any]) -> bool:
    if step["type"] == "Sequence":
        return all(_each_local(inner) for inner in step.get("normalizers") or step.get("pretokenizers") or [])
    return step["type"] in STEPS and not step.get("add_prefix_space")
