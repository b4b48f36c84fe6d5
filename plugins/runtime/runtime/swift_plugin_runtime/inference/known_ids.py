"""Token ids that somebody sends, held to what the model has."""

from __future__ import annotations

from swift_core.contract.engine import Sampling
from swift_core.contract.errors import SwiftError


def check_sampling(sampling: Sampling, vocabulary: int, where: str) -> None:
    """SwiftError where how tokens are drawn names one that the model does not have."""
    named = [*(token for token, _ in sampling.logit_bias), *sampling.stop_ids]
    if named:
        known_ids(named, vocabulary, f"{where}, logit_bias or stop_token_ids")


def known_ids(ids: list[int], vocabulary: int, where: str) -> list[int]:
    """The same ids. Raises SwiftError, which begins with `where`, for none at all, or one without an embedding."""
    if not ids:
        raise SwiftError(f"{where}: the prompt is empty.")
    strange = next((token for token in ids if not 0 <= token < vocabulary), None)
    if strange is not None:
        raise SwiftError(f"{where}: the model knows token ids from 0 to {vocabulary - 1}, not {strange}.")
    return ids
