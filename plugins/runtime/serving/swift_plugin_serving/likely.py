"""Likelihoods of tokens in OpenAI's two forms."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from swift_core.contract.engine import Token
from swift_core.inference.words import token_bytes

Json = dict[str, Any]

LEAST = -9999.0
"""Stands for a probability of zero, whose logarithm JSON cannot write."""


class Likely:
    """Writes tokens by their texts. tokenizer: the model's. The texts of an answer's tokens side by side are its text.

    A token that holds a part of a character only has the text U+FFFD, and its bytes.
    """

    def __init__(self, tokenizer: Any):
        self.table = token_bytes(tokenizer)

    def of_chat(self, tokens: Sequence[Token]) -> Json:
        """`logprobs` of a chat's choice."""
        content = [
            {**self._one(token.id, token.logprob), "top_logprobs": [self._one(*pair) for pair in token.top]}
            for token in tokens
        ]
        return {"content": content, "refusal": None}

    def of_text(self, tokens: Sequence[Token], start: int = 0) -> Json:
        """`logprobs` of a completion's choice. start: the place of the first token in the choice's text."""
        texts = [self._text(token.id) for token in tokens]
        offsets = list(accumulate(map(len, texts), initial=start))[:-1]
        return {
            "tokens": texts,
            "token_logprobs": [None if token.logprob is None else _number(token.logprob) for token in tokens],
            "top_logprobs": [self._likeliest(token) for token in tokens],
            "text_offset": offsets,
        }

    def length(self, tokens: Sequence[Token]) -> int:
        """Characters of the tokens' texts."""
        return sum(len(self._text(token.id)) for token in tokens)

    def _likeliest(self, token: Token) -> Json | None:
        """Text → log-probability of the likeliest tokens, and of the token itself; the likelier of two alike texts."""
        if token.logprob is None:
            return None
        pairs = [*token.top, (token.id, token.logprob)]
        return {self._text(number): _number(value) for number, value in sorted(pairs, key=lambda pair: pair[1])}

    def _one(self, number: int, value: float | None) -> Json:
        return {"token": self._text(number), "logprob": _number(value or 0.0), "bytes": list(self._bytes(number))}

    def _text(self, number: int) -> str:
        return self._bytes(number).decode("utf-8", "replace")

    def _bytes(self, number: int) -> bytes:
        return self.table[number] if number < len(self.table) else b""


def _number(value: float) -> float:
    return max(value, LEAST)
