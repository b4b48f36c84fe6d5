"""How many tokens a model with a table of positions can read; the others (RoPE, ALiBi) have no such end."""

from __future__ import annotations

from typing import Any

import torch

from swift_core import SwiftError
from swift_core.contract.errors import TooLong


def positions_of(model: Any) -> int | None:
    """Tokens that a model's learned table of positions has rows for; None where positions are computed.

    RoBERTa and its kin begin to count behind the padding's row, so that their 514 rows hold 512 tokens.
    """
    stated = int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 0)
    for name, table in model.named_modules():
        if isinstance(table, torch.nn.Embedding) and _is_table(name.rpartition(".")[2], table, stated):
            behind = 0 if table.padding_idx is None else table.padding_idx + 1
            return min(table.num_embeddings - behind, stated)
    return None


def _is_table(name: str, table: torch.nn.Embedding, stated: int) -> bool:
    """Whether a table of vectors is that of the text's positions; OPT's has two rows more than its config states."""
    named = name == "wpe" or "pos" in name
    return named and stated > 0 and table.num_embeddings in (stated, stated + 2)


def longest_text(model: Any, max_length: int | None) -> int | None:
    """Most tokens of a text that is scored: `max_length` or the model's positions; None where neither is an end.

    Raises SwiftError where --max_length is beyond the positions.
    """
    places = positions_of(model)
    if max_length and places and max_length > places:
        raise SwiftError(f"--max_length {max_length}: the model has positions for {places} tokens. Say no more.")
    return max_length or places


def check_length(where: str, length: int, longest: int | None) -> None:
    """Raises TooLong where a text has more tokens than can be scored."""
    if longest is not None and length > longest:
        raise TooLong(f"{where}: the text has {length} tokens, more than {longest}, the most that can be scored.")
