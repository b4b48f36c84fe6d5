"""How likely tokens were, by the model's own scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from swift_core.contract.engine import Token


def likelihoods(scores: torch.Tensor, ids: Sequence[int], most: Sequence[int]) -> list[Token]:
    """The tokens `ids` with their log-probabilities. scores: logits in float32, [len(ids), vocabulary].

    most: how many of the likeliest are told with each.
    """
    if not ids:
        return []
    known = scores.log_softmax(-1)
    chosen = known.gather(1, torch.tensor(ids, device=known.device)[:, None])[:, 0].tolist()
    values, places = (part.tolist() for part in known.topk(min(max(most), known.shape[1])))
    lines = zip(ids, chosen, values, places, most, strict=True)
    return [Token(i, p, tuple(zip(where, how, strict=True))[:n]) for i, p, how, where, n in lines]
