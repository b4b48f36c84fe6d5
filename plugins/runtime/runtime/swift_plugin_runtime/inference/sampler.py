"""Drawing the next token of each row of a batch by the row's own request."""

from __future__ import annotations

import secrets

import torch

from swift_core.contract.engine import Request, Sampling


class Sampler:
    """A logits processor that draws each row by its own request: temperature, top-p, top-k, penalty, bans, seed.

    The likeliest token after adding Gumbel noise to the scaled logits is a draw from their softmax (Gumbel
    1954; Maddison et al., arXiv 1411.0030), so a greedy `generate` samples row by row, each from its own seed.
    Rows that are drawn alike are drawn together.
    """

    def __init__(self, requests: list[Request], pads: list[int], device: torch.device):
        """pads: padding tokens to the left of each row, which the repetition penalty must not count."""
        self.pads = pads
        seeds = [r.sampling.seed for r in requests]
        fresh = [secrets.randbits(63) if seed is None else seed for seed in seeds]
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in fresh]
        self.alike: dict[Sampling, list[int]] = {}
        for row, request in enumerate(requests):
            self.alike.setdefault(request.drawn(seed=None, max_new_tokens=0, stop=()).sampling, []).append(row)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """input_ids: [rows, tokens], scores: [rows, vocabulary] in float32; returns scores to take the best of."""
        for how, rows in self.alike.items():
            everyone = len(rows) == len(scores)
            drawn = self._drawn(how, rows, input_ids, scores if everyone else scores[rows])
            if everyone:
                return drawn
            scores[rows] = drawn
        return scores

    def _drawn(self, how: Sampling, rows: list[int], input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores of rows that are drawn alike, [len(rows), vocabulary]."""
        if how.repetition_penalty != 1.0:
            seen = [input_ids[row, self.pads[row] :] for row in rows]
            pairs = zip(seen, scores, strict=True)
            scores = torch.stack([_penalized(ids, line, how.repetition_penalty) for ids, line in pairs])
        if how.banned:
            scores = scores.index_fill(1, torch.tensor(how.banned, device=scores.device), -float("inf"))
        if how.temperature == 0:
            return scores
        noise = torch.empty_like(scores)
        for line, row in zip(noise, rows, strict=True):
            line.exponential_(generator=self.generators[row])
        return _nucleus(scores / how.temperature, how.top_k, how.top_p) - noise.log()


def _penalized(ids: torch.Tensor, scores: torch.Tensor, penalty: float) -> torch.Tensor:
    """Scores [vocabulary] with those of `ids` made less likely (Keskar et al., arXiv 1909.05858)."""
    seen = scores[ids]
    return scores.index_put((ids,), seen.where(seen < 0, seen / penalty).where(seen >= 0, seen * penalty))


def _nucleus(scores: torch.Tensor, top_k: int, top_p: float) -> torch.Tensor:
    """Scores [rows, vocabulary], -inf outside the k likeliest and the smallest set of mass p (arXiv 1904.09751)."""
    if not top_k and top_p >= 1:
        return scores
    ordered, order = scores.sort(descending=True)
    if top_k:
        ordered[:, top_k:] = -float("inf")
    probabilities = ordered.softmax(-1)
    ordered[probabilities.cumsum(-1) - probabilities >= top_p] = -float("inf")
    return torch.empty_like(ordered).scatter_(1, order, ordered)
