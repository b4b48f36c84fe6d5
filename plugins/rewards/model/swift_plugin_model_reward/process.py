"""A process reward model as reward: it judges each step of an answer, not the outcome alone (Lightman et al., arXiv
2305.20050; Math-Shepherd, arXiv 2312.08935)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Reward
from swift_core.contract.job import Job
from swift_core.contract.row import Row

REDUCTIONS: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "product": math.prod,
    "last": lambda steps: steps[-1],
    "mean": lambda steps: sum(steps) / len(steps),
}
"""How the probabilities of the steps become one reward."""


@dataclass(kw_only=True, eq=False)
class ProcessRewardModel(Reward):
    """How likely the steps of an answer are right, by a process reward model (a token classifier checkpoint)."""

    swift_api = 1

    prm: str = option("", "Folder or hub id of the process reward model, with a chat template.")
    prm_separator: str = option("\n\n", "What stands between two steps of an answer.")
    prm_step_token: str = option("<extra_0>", "Token behind a step at which the model judges it (Qwen2.5-Math-PRM's).")
    prm_reduce: Literal["min", "product", "last", "mean"] = option(
        "min", "The reward of an answer: that of its weakest step, all steps right, the last one, or the mean."
    )
    prm_batch_size: int = option(8, "Answers read at a time.", ge=1)
    prm_device: str | None = option(None, "Device of the model; left out: a GPU where there is one.")
    prm_dtype: str = option("auto", "Its data type, auto: the checkpoint's own.")

    @hookimpl
    def score(self, job: Job, rows: list[Row], completions: list[str]) -> list[float]:
        return [REDUCTIONS[self.prm_reduce](s) if s else 0.0 for s in self.judged(job, rows, completions)]

    def judged(self, job: Job, rows: list[Row], completions: list[str]) -> list[list[float]]:
        """The probability that a step is right, for each step of each answer; none for an empty answer."""
        from swift_plugin_model_reward.loading import loaded

        model, tokenizer = loaded(job, self.prm, lambda: self.load(job))
        step = tokenizer.convert_tokens_to_ids(self.prm_step_token)
        written = [self._written(tokenizer, step, row, text) for row, text in zip(rows, completions, strict=True)]
        size = self.prm_batch_size
        return [s for n in range(0, len(written), size) for s in _judge(model, tokenizer, written[n : n + size])]

    def load(self, job: Job) -> tuple[Any, Any]:
        """SwiftError where the model, or the token of its steps, is not there."""
        from transformers import AutoModel, AutoModelForTokenClassification

        from swift_plugin_model_reward.loading import load

        if not self.prm:
            raise SwiftError("The reward process_reward_model needs --prm, a folder or hub id.")
        auto = AutoModel if job.options.trust_remote_code else AutoModelForTokenClassification
        model, tokenizer = load(job, self.prm, auto, self.prm_dtype, self.prm_device)
        if self.prm_step_token not in tokenizer.get_vocab():
            raise SwiftError(
                f"{self.prm} knows no token {self.prm_step_token!r}; say --prm_step_token as it was trained with."
            )
        return model, tokenizer

    def _written(self, tokenizer: Any, step: int, row: Row, text: str) -> tuple[list[int], list[int]]:
        """(ids of question and steps, the places at which the model judges). Each step is tokenized by itself."""
        asked = tokenizer.apply_chat_template(row.prompt().messages, tokenize=False, add_generation_prompt=True)
        ids, places = tokenizer(asked, add_special_tokens=False)["input_ids"], []
        for part in filter(str.strip, text.split(self.prm_separator)):
            ids = [*ids, *tokenizer(part, add_special_tokens=False)["input_ids"], step]
            places.append(len(ids) - 1)
        return ids, places


def _judge(model: Any, tokenizer: Any, written: list[tuple[list[int], list[int]]]) -> list[list[float]]:
    """One batch, padded behind; of two outputs the second is `right`, a single one is its log-odds."""
    import torch

    longest = max(len(ids) for ids, _ in written)
    padded = [ids + [tokenizer.pad_token_id] * (longest - len(ids)) for ids, _ in written]
    mask = [[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in written]
    with torch.no_grad():
        ids, seen = (torch.tensor(values, device=model.device) for values in (padded, mask))
        logits = model(input_ids=ids, attention_mask=seen)[0].float()
    right = logits.sigmoid()[..., 0] if logits.shape[-1] == 1 else logits.softmax(-1)[..., 1]
    return [right[n, places].tolist() for n, (_, places) in enumerate(written)]
