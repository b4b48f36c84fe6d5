"""Rewards of length: short right answers and long wrong ones, nothing too long, nothing over and over.

Cosine and repetition: Yeo et al., "Demystifying Long Chain-of-Thought Reasoning in LLMs" (arXiv 2502.03373).
Soft overlong punishment: Yu et al., DAPO (arXiv 2503.14476).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Reward
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.evaluation.metrics import tokens

UNITS = Literal["tokens", "characters"]


def lengths(job: Job, completions: list[str], unit: str) -> list[int]:
    """How long each completion is: in tokens of the job's model, or in characters."""
    if unit == "characters":
        return [len(text) for text in completions]
    tokenizer = job.memo.get("tokenizer of length rewards") or _tokenizer(job)
    job.memo["tokenizer of length rewards"] = tokenizer
    return [len(ids) for ids in tokenizer(completions, add_special_tokens=False)["input_ids"]]


def _tokenizer(job: Job) -> Any:
    if not job.many("loader"):
        raise SwiftError("Lengths in tokens need the job's model; without one, say --length_unit characters.")
    path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=None)
    processor = job.hook.load_processor(job=job, path=path, config=job.hook.load_config(job=job, path=path))
    return getattr(processor, "tokenizer", processor)


@dataclass(kw_only=True, eq=False)
class Cosine(Reward):
    """Short right answers and long wrong ones: a cosine of the length between two values (arXiv 2502.03373).

    With length L, at most M: end + (start - end) · (1 + cos(π·L/M)) / 2, where start is the value at length 0 and
    end the one at M and beyond.
    """

    swift_api = 1

    cosine_max_length: int = option(1024, "M: the length from which on nothing changes.", ge=1)
    length_unit: UNITS = option("tokens", "What lengths are counted in.")
    judged_by: str = option("accuracy", "Label of the reward of this job that says what is right (more than 1/2).")
    right_short: float = option(1.0, "A right answer of length 0.")
    right_long: float = option(0.5, "A right answer of length M.")
    wrong_short: float = option(-0.5, "A wrong answer of length 0.")
    wrong_long: float = option(0.0, "A wrong answer of length M.")

    @hookimpl
    def score(self, job: Job, rows: list[Row], completions: list[str]) -> list[float]:
        right = self.right(job, rows, completions)
        counted = lengths(job, completions, self.length_unit)
        return [self.value(r > 0.5, n) for r, n in zip(right, counted, strict=True)]

    def right(self, job: Job, rows: list[Row], completions: list[str]) -> list[float]:
        """What the other reward says of each completion.

        Raises SwiftError where the job has no other reward of that name.
        """
        judges = [item for item in job.many("reward") if item.label == self.judged_by]
        if not judges or judges[0].component is self:
            raise SwiftError(
                f"cosine asks another reward what is right: add --reward {self.judged_by}, or say --judged_by."
            )
        judged: list[float] = job.call(judges[0], "score", rows=rows, completions=completions)
        return judged

    def value(self, right: bool, length: int) -> float:
        """The reward of an answer of this length."""
        start, end = (self.right_short, self.right_long) if right else (self.wrong_short, self.wrong_long)
        share = min(length, self.cosine_max_length) / self.cosine_max_length
        return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@dataclass(kw_only=True, eq=False)
class SoftOverlong(Reward):
    """0 up to a length, then falling in a line to -1 at the greatest length (DAPO, arXiv 2503.14476)."""

    swift_api = 1

    overlong_max_length: int = option(1024, "Length from which on the reward is -1.", ge=1)
    overlong_cache: int = option(256, "Over how much of that length the reward falls.", ge=1)
    length_unit: UNITS = option("tokens", "What lengths are counted in.")

    @hookimpl
    def score(self, job: Job, completions: list[str]) -> list[float]:
        fine = self.overlong_max_length - self.overlong_cache
        if fine < 0:
            raise SwiftError(f"--overlong_cache {self.overlong_cache} is more than the greatest length.")
        counted = lengths(job, completions, self.length_unit)
        return [-min(1.0, max(0.0, (n - fine) / self.overlong_cache)) for n in counted]


@dataclass(kw_only=True, eq=False)
class Repetition(Reward):
    """From 0 where no n-gram of words comes twice down to a penalty where all are one (arXiv 2502.03373).

    The value is penalty · (1 - different n-grams / n-grams). Words are those of `swift_core.evaluation.metrics.tokens`:
    in scripts without spaces, every character is one.
    """

    swift_api = 1

    repetition_n: int = option(3, "Words in an n-gram.", ge=1)
    repetition_penalty_value: float = option(-1.0, "The reward where every n-gram is the same.", le=0)

    @hookimpl
    def score(self, completions: list[str]) -> list[float]:
        return [self.repetition_penalty_value * self.repeated(tokens(text)) for text in completions]

    def repeated(self, words: list[str]) -> float:
        """The share of n-grams that were there before; 0 in a text shorter than one."""
        grams = list(zip(*(words[i:] for i in range(self.repetition_n)), strict=False))
        return 1 - len(set(grams)) / len(grams) if grams else 0.0
