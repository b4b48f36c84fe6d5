"""Answers that are the same on every machine, for tests of methods that learn from their own."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from swift_core.catalogue.entries import Catalogue, Entry
from swift_core.contract.hooks import hookimpl
from swift_core.contract.job import Job


class TellingBackend:
    """A backend whose rollouts are told instead of drawn; `telling` puts it in the place of vLLM's."""

    swift_api = 1

    @hookimpl
    def start_rollouts(self, job: Job, folder: str, address: dict[str, str] | None) -> Any:
        """An engine that tells answers."""
        return Teller()


class Teller:
    """Random tokens that depend on the step, the prompt and how often it was asked in that step, and on nothing else.

    What a model draws depends on its machine's random numbers, on rounding, and on the rank that asks. Told answers
    do not, so that runs of them can be compared to the digit wherever they are made. Of up to max_new_tokens
    tokens, they end by themselves or are cut.
    """

    def __init__(self) -> None:
        self.address: dict[str, str] = {}
        self.version = ""
        self.asked: Counter[tuple[int, ...]] = Counter()

    def follow(self, folder: str, version: str) -> None:
        """Nothing to do: no weights draw."""

    def draw(self, prompts: list[list[int]], version: str, how: dict[str, Any]) -> list[list[int]]:
        """One answer to each prompt."""
        if version != self.version:
            self.version, self.asked = version, Counter()
        return [self.answer(tuple(prompt), version.rpartition("-")[2], how) for prompt in prompts]

    def answer(self, prompt: tuple[int, ...], step: str, how: dict[str, Any]) -> list[int]:
        """The next answer to this prompt."""
        chance = random.Random(f"{step} {prompt} {self.asked[prompt]}")
        self.asked[prompt] += 1
        length = chance.randint(1, how["max_new_tokens"])
        allowed = [i for i in range(50, 200) if i not in (*how["ends"], *how["banned"])]  # below stand tokens of media
        words = [chance.choice(allowed) for _ in range(length)]
        return words if length == how["max_new_tokens"] else [*words, how["ends"][0]]

    def close(self) -> None:
        """Nothing to stop."""


def telling(found: Catalogue) -> Catalogue:
    """The catalogue with told answers under --rollout_backend vllm."""
    kept = [entry for entry in found.entries if (entry.kind, entry.name) != ("backend", "vllm")]
    return Catalogue([*kept, Entry("backend", "vllm", "pytest", "0", "", f"{__name__}:TellingBackend")])
