"""Drawing the next token of each row of a batch by the row's own request.

The likeliest token after adding Gumbel noise to the scaled logits is a draw from their softmax (Gumbel 1954; Maddison
et al., arXiv 1411.0030), so taking the best of what is returned here samples row by row, each from its own seed.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from swift_core.contract.engine import Request, Sampling

NOT_OF_SCORES = {
    "seed": None, "max_new_tokens": 0, "stop": (), "stop_ids": (), "ignore_eos": False, "min_new_tokens": 0,
    "logprobs": None, "prompt_logprobs": None, "guide": None,
}  # fmt: skip
"""Fields of a sampling that do not change how scores are drawn, at the value that rows which are drawn alike share."""


class Shaping(Protocol):
    """What holds an answer to a form."""

    def shape(self, scores: torch.Tensor) -> None:
        """Set the scores [vocabulary] of tokens that must not come next to -inf, in place."""


@dataclass(frozen=True, eq=False)
class Draw:
    """How one request's tokens are drawn: its sampling without what differs between alike requests, and its noise.

    said: the answer's tokens so far, a list that grows. ends: tokens that may not come among the first `least`. form:
    what holds the answer to a form.
    """

    how: Sampling
    generator: torch.Generator
    said: Sequence[int] = ()
    ends: Sequence[int] = ()
    least: int = 0
    form: Shaping | None = None

    @classmethod
    def of(
        cls,
        request: Request,
        device: torch.device,
        said: Sequence[int] = (),
        ends: Sequence[int] = (),
        form: Shaping | None = None,
    ) -> Draw:
        """That of a request; without a seed, with a fresh one."""
        seed = request.sampling.seed
        generator = torch.Generator(device).manual_seed(secrets.randbits(63) if seed is None else seed)
        how = request.drawn(**NOT_OF_SCORES).sampling
        return cls(how, generator, said, ends, request.sampling.min_new_tokens, form)

    def shape(self, scores: torch.Tensor) -> None:
        """Make the scores [vocabulary] what this answer makes of them, in place: penalties, its end, its form.

        The penalties are OpenAI's: for tokens of the answer alone, once and for each time.
        """
        once, each = self.how.presence_penalty, self.how.frequency_penalty
        if self.said and (once or each):
            ids, counts = torch.tensor(self.said, device=scores.device).unique(return_counts=True)
            scores[ids] -= once + each * counts
        if len(self.said) < self.least and self.ends:
            scores[torch.tensor(self.ends, device=scores.device)] = -float("inf")
        if self.form:
            self.form.shape(scores)


def drawn(draws: Sequence[Draw], seen: Callable[[int], torch.Tensor], scores: torch.Tensor) -> torch.Tensor:
    """Scores to take the best of, drawn as each row's request says: [rows, vocabulary].

    seen: the ids before the next token of a row, by its place. scores: logits in float32, which may be overwritten.
    Rows that are drawn alike are drawn together.
    """
    alike: dict[Sampling, list[int]] = {}
    for row, draw in enumerate(draws):
        alike.setdefault(draw.how, []).append(row)
    for how, rows in alike.items():
        everyone = len(rows) == len(scores)
        found = _drawn(how, [draws[row] for row in rows], rows, seen, scores if everyone else scores[rows])
        if everyone:
            return found
        scores[rows] = found
    return scores


def _drawn(
    how: Sampling, draws: list[Draw], rows: list[int], seen: Callable[[int], torch.Tensor], scores: torch.Tensor
) -> torch.Tensor:
    """The scores of rows that are drawn alike, [len(rows), vocabulary]."""
    if how.repetition_penalty != 1.0:
        pairs = zip(map(seen, rows), scores, strict=True)
        scores = torch.stack([_penalized(ids, line, how.repetition_penalty) for ids, line in pairs])
    if how.banned:
        scores = scores.index_fill(1, torch.tensor(how.banned, device=scores.device), -float("inf"))
    if how.logit_bias:
        scores = scores + _bias(how.logit_bias, scores)
    for line, draw in zip(scores, draws, strict=True):
        draw.shape(line)
    if how.temperature == 0:
        return scores
    noise = torch.empty_like(scores)
    for line, draw in zip(noise, draws, strict=True):
        line.exponential_(generator=draw.generator)
    scaled = _min_p(scores / how.temperature, how.min_p)
    return _nucleus(scaled, how.top_k, how.top_p) - noise.log()


class Sampler:
    """A logits processor of transformers that draws each row of a padded batch by its own request.

    raw: scores of the rows `told` as the model gave them for the newest token, [len(told), vocabulary].
    """

    def __init__(self, draws: list[Draw], pads: list[int], told: Sequence[int] = ()):
        """pads: padding tokens to the left of each row, which the repetition penalty must not count."""
        self.draws, self.pads, self.told = draws, pads, list(told)
        self.raw: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """input_ids: [rows, tokens], scores: [rows, vocabulary] in float32; returns scores to take the best of."""
        self.raw = scores[self.told] if self.told else None
        return drawn(self.draws, lambda row: input_ids[row, self.pads[row] :], scores)


def _penalized(ids: torch.Tensor, scores: torch.Tensor, penalty: float) -> torch.Tensor:
    """Scores [vocabulary] with those of `ids` made less likely (Keskar et al., arXiv 1909.05858)."""
    seen = scores[ids]
    return scores.index_put((ids,), seen.where(seen < 0, seen / penalty).where(seen >= 0, seen * penalty))


def _bias(bias: tuple[tuple[int, float], ...], scores: torch.Tensor) -> torch.Tensor:
    """What is added to the scores of each row, [vocabulary]."""
    added = torch.zeros_like(scores[0])
    for token, value in bias:
        added[token] = value
    return added


def _min_p(scores: torch.Tensor, least: float) -> torch.Tensor:
    """Scores [rows, vocabulary], -inf where a token is less than `least` times as likely as the likeliest one.

    Nguyen et al., arXiv 2407.01082.
    """
    if not least:
        return scores
    return scores.masked_fill(scores < scores.amax(-1, keepdim=True) + math.log(least), -float("inf"))


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
