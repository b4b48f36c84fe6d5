"""The rules by which byte-level tokenizers cut text before they join bytes, under llama.cpp's names.

A GGUF file names its rule (`tokenizer.ggml.pre`), tokenizer.json spells it out. The expressions are those of the
tokenizers themselves: GPT-2's, Llama 3's, Qwen2's, Mistral's Tekken, GPT-4o's.
"""

from __future__ import annotations

import itertools
from typing import Any

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LEAD = r"[^\r\n\p{L}\p{N}]?"
CASED_REST = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{CONTRACTIONS}|{WORDS}|\p{{N}}{{1,3}}|{REST}"
QWEN2 = rf"{CONTRACTIONS}|{WORDS}|\p{{N}}|{REST}"
TEKKEN = rf"{LEAD}{UPPER}*{LOWER}+|{LEAD}{UPPER}+{LOWER}*|\p{{N}}|{CASED_REST}"
GPT4O = rf"{LEAD}{UPPER}*{LOWER}+{CONTRACTIONS}?|{LEAD}{UPPER}+{LOWER}*{CONTRACTIONS}?|\p{{N}}{{1,3}}|{CASED_REST}"
DIGIT = r"\p{N}"

RULES: dict[tuple[tuple[str, ...], bool], str] = {
    ((GPT2,), False): "gpt-2",
    ((DIGIT, GPT2), False): "smollm",
    ((LLAMA3,), True): "llama-bpe",
    ((LLAMA3,), False): "smaug-bpe",
    ((QWEN2,), False): "qwen2",
    ((TEKKEN,), True): "tekken",
    ((GPT4O,), False): "gpt-4o",
}
"""(the regular expressions that cut a text, whether a whole piece is looked up before merges) → llama.cpp's name."""


def cuts_of(rule: dict[str, Any] | None) -> list[str] | None:
    """The regular expressions by which a byte-level pre-tokenizer cuts text; None where it does anything else.

    rule: `pre_tokenizer` of tokenizer.json.
    """
    if rule is None:
        return None
    if rule["type"] == "Sequence":
        parts = [cuts_of(part) for part in rule["pretokenizers"]]
        known = [part for part in parts if part is not None]
        return list(itertools.chain(*known)) if len(known) == len(parts) else None
    if rule["type"] == "ByteLevel" and not rule["add_prefix_space"]:
        return [GPT2] if rule["use_regex"] else []
    if rule["type"] == "Digits" and rule["individual_digits"]:
        return [DIGIT]
    if rule["type"] == "Split" and rule["behavior"] == "Isolated" and not rule["invert"]:
        regex = rule["pattern"].get("Regex")
        return None if regex is None else [regex]
    return None


def cut_as(tokenizer: Any, name: str) -> bool:
    """Let a byte-level tokenizer of transformers cut text by the rule called `name`; False where it is not known."""
    from tokenizers import Regex, pre_tokenizers

    rule = next((rule for rule, known in RULES.items() if known == name), None)
    if rule is None:
        return False
    core, (cuts, whole) = tokenizer.backend_tokenizer, rule
    steps = [pre_tokenizers.Split(Regex(cut), "isolated") for cut in cuts]
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.pre_tokenizer = pre_tokenizers.Sequence([*steps, last])
    core.model.ignore_merges = whole
    return True
