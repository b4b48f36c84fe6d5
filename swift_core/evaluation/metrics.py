"""Text metrics that several evaluators share: ROUGE, BLEU and exact match, for any language. All are 0 … 1.

ROUGE is computed here: the usual package imports nltk and with it half a scientific Python, and reads Latin
letters alone. On ASCII text the values are that package's.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
UNSPACED = re.compile(rf"{HAN.pattern}|[\u3041-\u30ff\u31f0-\u31ff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
"""Scripts that put no space between words: Han, kana, Thai, Lao, Burmese, Khmer."""


def tokens(text: str) -> list[str]:
    """Lower-case words of letters, digits and their marks; in scripts without spaces every character is one."""
    return "".join(_spaced(c) for c in unicodedata.normalize("NFC", text.lower())).split()


def _spaced(character: str) -> str:
    if UNSPACED.match(character):
        return f" {character} "
    return character if unicodedata.category(character)[0] in "LMN" else " "


def exact_match(reference: str, answer: str) -> float:
    """1 where the answer is the reference to the letter, white space at both ends aside; else 0."""
    return float(answer.strip() == reference.strip())


def rouge_n(reference: str, answer: str, n: int) -> float:
    """F1 of the n-grams that both texts share, each counted as often as it stands in both (Lin 2004)."""
    grams = [
        Counter(zip(*(words[i:] for i in range(n)), strict=False)) for words in (tokens(reference), tokens(answer))
    ]
    return f1((grams[0] & grams[1]).total(), grams[0].total(), grams[1].total())


def rouge_l(reference: str, answer: str) -> float:
    """F1 of the longest common subsequence of tokens over the whole texts (ROUGE-L, Lin 2004)."""
    one, other = tokens(reference), tokens(answer)
    return f1(longest_common_subsequence(one, other), len(one), len(other))


def f1(shared: float, wanted: float, given: float) -> float:
    """Harmonic mean of recall shared/wanted and precision shared/given; 0 where nothing is shared."""
    return 2 * shared / (wanted + given) if shared else 0.0


def longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Its length, one machine word of the table at a time (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for i, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << i
    everything = (1 << len(one)) - 1
    free = everything  # bit i is 0 once the subsequence grows at one[i]
    for word in other:
        hits = free & places.get(word, 0)
        free = ((free + hits) | (free - hits)) & everything
    return len(one) - free.bit_count()


def bleu(references: Sequence[str], answers: Sequence[str]) -> tuple[float, str]:
    """(corpus BLEU-4, sacreBLEU's signature), by the package sacrebleu, which the caller's plugin requires.

    Tokens: sacreBLEU's `13a`; `zh` where a reference holds Han characters; `char` where one is in another
    script without spaces. Where every text is shorter than four tokens, the longest n-grams there are count
    (effective order), so that right one-word answers do not score 0.
    """
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(tokenize=bleu_tokenizer(references), effective_order=True)
    score = metric.corpus_score(list(answers), [list(references)]).score
    return min(score / 100, 1.0), str(metric.get_signature())


def bleu_tokenizer(references: Sequence[str]) -> str:
    """The name of sacreBLEU's tokenizer for texts like these."""
    text = "".join(references)
    if UNSPACED.search(HAN.sub("", text)):
        return "char"
    return "zh" if HAN.search(text) else "13a"
