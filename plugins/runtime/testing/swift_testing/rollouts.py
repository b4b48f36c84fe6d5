"""Answers that are the same on every machine, for tests of methods that learn from their own."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Generator
from typing import Any

from swift_core.catalogue.entries import Catalogue, Entry
from swift_core.contract.engine import Listener, Reply, Request, Sampling
from swift_core.contract.hooks import hookimpl
from swift_core.contract.job import Job
from swift_core.inference.conversation import stream_one
from swift_core.inference.ending import ending_of, reply_to_ids


class TellingBackend:
    """A backend whose rollouts are told instead of drawn; `telling` puts it in the place of vLLM's."""

    swift_api = 1

    @hookimpl
    def start_rollouts(self, job: Job, processor: Any) -> Any:
        """An engine that tells answers."""
        return Teller(job, processor)


class Teller:
    """Random tokens that depend on the step, the prompt and how often it was asked in that step, and on nothing else.

    What a model draws depends on its machine's random numbers, on rounding, and on the rank that asks. Told answers
    do not, so that runs of them can be compared to the digit wherever they are made. Of up to max_new_tokens
    tokens, they end by themselves or are cut.
    """

    def __init__(self, job: Job, processor: Any) -> None:
        self.job, self.processor = job, processor
        self.ending = ending_of(job, getattr(processor, "tokenizer", processor))
        self.address: dict[str, str] = {}
        self.models = ["teller"]
        self.version = ""
        self.asked: Counter[tuple[int, ...]] = Counter()

    def follow(self, folder: str | None, version: str) -> None:
        """No weights draw; a new version's answers are counted anew."""
        self.version, self.asked = version, Counter()

    def generate(self, requests: list[Request], listen: Listener | None = None) -> list[Reply]:
        """One answer to each prompt, which is encoded."""
        return [self.reply(request, _ids(request)) for request in requests]

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """The answer in one piece."""
        return stream_one(self, request)

    def reply(self, request: Request, prompt: list[int]) -> Reply:
        """The next answer to this prompt, read."""
        ids = self.answer(tuple(prompt), self.version.rpartition("-")[2], request.sampling)
        return reply_to_ids(self.job, self.processor, request, ids, self.ending, len(prompt))

    def answer(self, prompt: tuple[int, ...], step: str, how: Sampling) -> list[int]:
        """The next answer to this prompt, in tokens."""
        chance = random.Random(f"{step} {prompt} {self.asked[prompt]}")
        self.asked[prompt] += 1
        length = chance.randint(1, how.max_new_tokens)
        never = {*self.ending.ids, *how.banned}
        allowed = [i for i in range(50, 200) if i not in never]  # below stand tokens of media
        words = [chance.choice(allowed) for _ in range(length)]
        return words if length == how.max_new_tokens else [*words, self.ending.ids[0]]

    def close(self) -> None:
        """Nothing to stop."""


def _ids(request: Request) -> list[int]:
    assert isinstance(request.prompt, dict)  # a row as `encode` returned it
    ids: list[int] = request.prompt["input_ids"]
    return ids


def telling(catalogue: Catalogue) -> Catalogue:
    """The catalogue with told answers under --rollout_backend vllm."""
    kept = [entry for entry in catalogue.entries if (entry.kind, entry.name) != ("backend", "vllm")]
    return Catalogue([*kept, Entry("backend", "vllm", "pytest", "0", "", f"{__name__}:TellingBackend")])
