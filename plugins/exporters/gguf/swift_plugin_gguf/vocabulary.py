"""A tokenizer as GGUF holds it: tokens with their kinds, merges or scores, and the rule by which text is cut first.

llama.cpp has two kinds that matter here: `gpt2`, byte-level BPE whose text is first cut by a rule that has a name, and
`llama`, SentencePiece's BPE, which joins the pair of the best score. Which one a tokenizer is, and which rule it has,
is read from its own structure (tokenizer.json); what is not known is refused.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from swift_plugin_runtime.loading.text_rules import RULES, cuts_of

from swift_core import SwiftError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""GGUF's kinds of tokens."""

BLANK = "▁"
"""How SentencePiece writes a space."""


@dataclass
class Vocabulary:
    """What goes into the file.

    model: `gpt2` or `llama`. pre: llama.cpp's name of the rule that cuts text. kinds: one of the numbers above per
    token. merges: pairs with a space between, of `gpt2`. scores: one per token, of `llama`. adds_bos, adds_eos: what
    the tokenizer puts around a text. adds_space: whether a text gets a space in front. notes: what llama.cpp does
    otherwise, a sentence each.
    """

    model: str
    pre: str
    tokens: list[str]
    kinds: list[int]
    merges: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    adds_bos: bool = False
    adds_eos: bool = False
    adds_space: bool = False
    notes: list[str] = field(default_factory=list)


def vocabulary_of(tokenizer: Any, rows: int, pre: str | None = None) -> Vocabulary:
    """The vocabulary of a transformers tokenizer for a model with `rows` rows of embeddings.

    pre: llama.cpp's name of the rule that cuts text, in place of the one that is found.

    Raises SwiftError, with what was seen, where llama.cpp has nothing that cuts or joins text in this way.
    """
    core = getattr(tokenizer, "backend_tokenizer", None)
    if core is None:
        raise SwiftError(
            f"The rules of {type(tokenizer).__name__} cannot be read: it is no tokenizer of the library tokenizers."
        )
    structure = json.loads(core.to_str())
    highest = max(tokenizer.get_vocab().values())
    if highest >= rows:
        raise SwiftError(f"The tokenizer has a token {highest}, but the model only {rows} rows of embeddings.")
    if structure["model"].get("type") != "BPE":
        raise SwiftError(f"llama.cpp's BPE cannot stand for a tokenizer of type {structure['model'].get('type')!r}.")
    made = _sentencepiece(structure) if structure["model"].get("byte_fallback") else _byte_level(structure, pre)
    made.tokens, made.kinds = _tokens(tokenizer, structure, rows, made.model == "llama")
    if made.scores:
        made.scores += [0.0] * (rows - len(made.scores))
    made.adds_bos, made.adds_eos = _around(tokenizer)
    made.notes += _trimming(structure)
    return made


# -- byte-level BPE ----------------------------------------------------------------------------------------
def _byte_level(structure: dict[str, Any], pre: str | None) -> Vocabulary:
    cut = cuts_of(structure["pre_tokenizer"])
    whole = bool(structure["model"].get("ignore_merges"))
    name = pre or (RULES.get((tuple(cut), whole)) if cut is not None else None)
    normalizer = structure["normalizer"]
    strange = (normalizer or {}).get("type") not in (None, "NFC")
    if name is None or (strange and not pre):
        seen = {"pre_tokenizer": structure["pre_tokenizer"], "normalizer": normalizer, "ignore_merges": whole}
        raise SwiftError(
            "llama.cpp knows no rule that cuts text as this tokenizer does, so other tokens would come out. Known are "
            f"{', '.join(sorted(RULES.values()))} (where you know that one of them is right: --gguf_pre). Seen was "
            f"{json.dumps(seen, ensure_ascii=False)}"
        )
    notes = ["The tokenizer brings text into Unicode's form NFC first, llama.cpp does not."] if normalizer else []
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in structure["model"]["merges"]]
    return Vocabulary("gpt2", name, [], [], merges=merges, notes=notes)


# -- SentencePiece -----------------------------------------------------------------------------------------
def _sentencepiece(structure: dict[str, Any]) -> Vocabulary:
    model = structure["model"]
    pairs = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ", 1)) for pair in model["merges"]]
    scores = scores_of(model["vocab"], pairs, {token["content"] for token in structure["added_tokens"]})
    blank = json.dumps([structure["normalizer"], structure["pre_tokenizer"]], ensure_ascii=False)
    if scores is None or BLANK not in blank:
        raise SwiftError(
            "This tokenizer falls back to bytes as SentencePiece does, but its merges are not those that follow from "
            f"SentencePiece's scores, so llama.cpp would join text otherwise. Seen was {blank} and {len(pairs)} merges."
        )
    made = Vocabulary("llama", "default", [], [], scores=scores)
    made.adds_space = _adds_space(structure["normalizer"]) or _adds_space(structure["pre_tokenizer"])
    if '"first"' in blank:
        made.notes.append("llama.cpp puts a space behind every control token too, the tokenizer only at the start.")
    return made


def scores_of(vocab: dict[str, int], pairs: list[tuple[str, ...]], added: set[str]) -> list[float] | None:
    """A score per token, from which the same merges follow; None where there are no such scores.

    SentencePiece joins whichever two neighbours make the token of the best score. So the merges of one token stand
    together, and every way to make it is among them. Tokens of `added` are found before anything is joined, and many
    of them (Gemma's runs of blanks) share one score: theirs need not stand together.
    """
    groups = [token for token, _ in itertools.groupby(left + right for left, right in pairs)]
    order = list(dict.fromkeys(groups))
    apart = len([token for token in groups if token not in added]) - len([t for t in order if t not in added])
    ways = sum(token[:n] in vocab and token[n:] in vocab for token in order for n in range(1, len(token)))
    if apart or ways != len(pairs):
        return None
    scores = [0.0] * (max(vocab.values()) + 1)
    for rank, token in enumerate(order):
        scores[vocab[token]] = -float(rank + 1)
    return scores


def _adds_space(rule: dict[str, Any] | None) -> bool:
    if rule is None:
        return False
    parts = rule.get("normalizers") or rule.get("pretokenizers") or []
    here = rule["type"] == "Prepend" or rule.get("prepend_scheme") in ("always", "first")
    return here or any(_adds_space(part) for part in parts)


# -- both --------------------------------------------------------------------------------------------------
def _tokens(tokenizer: Any, structure: dict[str, Any], rows: int, bytes_by_name: bool) -> tuple[list[str], list[int]]:
    """Every token's text and kind, by its id; ids without a token are called [PAD…] and are unused."""
    tokens, kinds = [f"[PAD{n}]" for n in range(rows)], [UNUSED] * rows
    for text, number in structure["model"]["vocab"].items():
        is_byte = bytes_by_name and len(text) == 6 and text.startswith("<0x") and text.endswith(">")
        tokens[number], kinds[number] = text, BYTE if is_byte else NORMAL
    for added in structure["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    if bytes_by_name and tokenizer.unk_token_id is not None:
        kinds[tokenizer.unk_token_id] = UNKNOWN
    return tokens, kinds


def _around(tokenizer: Any) -> tuple[bool, bool]:
    """Whether the tokenizer puts its bos before a text, and its eos behind it."""
    ids = tokenizer("a")["input_ids"]
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    return bos is not None and ids[:1] == [bos], eos is not None and ids[-1:] == [eos]


def _trimming(structure: dict[str, Any]) -> list[str]:
    odd = [t["content"] for t in structure["added_tokens"] if t["lstrip"] or t["rstrip"] or t["single_word"]]
    if not odd:
        return []
    return [
        f"The tokenizer takes white space into {', '.join(odd[:5])}, or wants a word's edge there; llama.cpp does not."
    ]
