"""What each token of a tokenizer stands for in a text, as bytes: a character may be spread over several tokens."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from swift_core.contract.errors import SwiftError

SPACE = "▁"
"""How SentencePiece writes a space."""

BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
"""How SentencePiece writes a byte of a character that it does not know."""

MOST = 0.99
"""Share of a vocabulary in one alphabet from which on it counts as written in it."""


@cache
def byte_letters() -> dict[str, int]:
    """The letters that stand for bytes in a byte-level vocabulary (GPT-2): printable ones for themselves."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + n): byte for n, byte in enumerate(rest)}


def token_bytes(tokenizer: Any) -> list[bytes]:
    """The bytes of every token in the middle of a text, by its id; empty for ids that the tokenizer does not have.

    Knows byte-level vocabularies, SentencePiece with and without bytes, vocabularies of bytes (tiktoken); what any
    other token stands for (WordPiece) the tokenizer says itself.
    """
    pieces = {number: piece for piece, number in tokenizer.get_vocab().items()}
    added = _added(tokenizer)
    regular = [piece for number, piece in pieces.items() if number not in added]
    read = _reader(tokenizer, regular)
    table = [b""] * (max([*pieces, *added], default=-1) + 1)
    for number, piece in pieces.items():
        table[number] = piece if isinstance(piece, bytes) else read(number, piece)
    for number, text in added.items():
        table[number] = text.encode()
    return table


def _added(tokenizer: Any) -> dict[int, str]:
    """Tokens beside the vocabulary by their ids; bytes are none, though some files list them there."""
    texts = {number: str(token) for number, token in tokenizer.added_tokens_decoder.items()}
    return {number: text for number, text in texts.items() if not BYTE.fullmatch(text)}


def _reader(tokenizer: Any, regular: list[Any]) -> Any:
    """(id, piece) → bytes, by how the vocabulary is written."""
    letters, texts = byte_letters(), [piece for piece in regular if isinstance(piece, str)]
    in_letters = sum(all(letter in letters for letter in piece) for piece in texts)
    if any(piece.startswith("Ġ") for piece in texts) and in_letters >= MOST * len(texts):
        return lambda _, piece: _from_letters(piece, letters)
    if any(piece.startswith(SPACE) for piece in texts):
        return lambda _, piece: _from_sentence_piece(piece)
    return _asked(tokenizer)


def _from_letters(piece: str, letters: dict[str, int]) -> bytes:
    known = all(letter in letters for letter in piece)
    return bytes(letters[letter] for letter in piece) if known else piece.encode()


def _from_sentence_piece(piece: str) -> bytes:
    byte = BYTE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace(SPACE, " ").encode()


def _asked(tokenizer: Any) -> Any:
    """What the tokenizer adds to a text for a token behind a letter."""
    first = tokenizer("a", add_special_tokens=False)["input_ids"]
    begin = len(tokenizer.decode(first, clean_up_tokenization_spaces=False))

    def read(number: int, _: str) -> bytes:
        text: str = tokenizer.decode([*first, number], clean_up_tokenization_spaces=False)
        return text[begin:].encode()

    return read


def special_ids(tokenizer: Any) -> set[int]:
    """Tokens that are no text: marks of a conversation, ends, padding."""
    known, added = tokenizer.added_tokens_decoder, _added(tokenizer)
    marked = {number for number in added if known[number].special}
    return marked | (set(tokenizer.all_special_ids) & added.keys())


def swallows_space(tokenizer: Any, table: list[bytes]) -> bool:
    """Whether a text does not show the space of its first token, as with SentencePiece. table: of `token_bytes`.

    Raises SwiftError where a first token shows what no other does (WordPiece's `##`).
    """
    special = special_ids(tokenizer)
    regular = [number for number, word in enumerate(table) if number not in special and word.strip().isalpha()]
    spaced = next((number for number in regular if table[number].startswith(b" ")), None)
    bare = next((number for number in regular if not table[number].startswith(b" ")), None)
    if bare is not None and _alone(tokenizer, bare) != table[bare].decode():
        name = type(tokenizer).__name__
        raise SwiftError(f"A token of this {name} stands for another text at the beginning than in the middle.")
    return spaced is not None and not _alone(tokenizer, spaced).startswith(" ")


def _alone(tokenizer: Any, number: int) -> str:
    return str(tokenizer.decode([number], clean_up_tokenization_spaces=False))
