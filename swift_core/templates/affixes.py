"""What texts have in common at their starts and ends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile


def common_prefix(texts: Sequence[str]) -> str:
    """The longest text with which all of them begin; empty for none."""
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*texts, strict=False))
    return "".join(letters[0] for letters in same)


def common_suffix(texts: Sequence[str]) -> str:
    """The longest text with which all of them end; empty for none."""
    return common_prefix([text[::-1] for text in texts])[::-1]
