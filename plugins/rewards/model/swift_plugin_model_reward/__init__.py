"""Models as rewards: a sequence classifier with one output reads question and answer; `process` judges each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Reward
from swift_core.contract.job import Job
from swift_core.contract.row import Row


@dataclass(kw_only=True, eq=False)
class RewardModel(Reward):
    """The output of a reward model (a sequence classifier checkpoint) on question and answer."""

    swift_api = 1

    reward_model: str = option("", "Folder or hub id of the reward model, with one output and a chat template.")
    reward_model_batch_size: int = option(8, "Conversations read at a time.", ge=1)
    reward_model_device: str | None = option(None, "Device of the reward model; left out: a GPU where there is one.")
    reward_model_dtype: str = option("auto", "Its data type, auto: the checkpoint's own.")

    @hookimpl
    def score(self, job: Job, rows: list[Row], completions: list[str]) -> list[float]:
        from swift_plugin_model_reward.loading import loaded

        model, tokenizer = loaded(job, self.reward_model, lambda: self.load(job))
        chats = [_chat(row, text) for row, text in zip(rows, completions, strict=True)]
        step = self.reward_model_batch_size
        return [s for n in range(0, len(chats), step) for s in self.scores(model, tokenizer, chats[n : n + step])]

    def load(self, job: Job) -> tuple[Any, Any]:
        """SwiftError where it is no reward model."""
        from transformers import AutoModelForSequenceClassification

        from swift_plugin_model_reward.loading import load

        if not self.reward_model:
            raise SwiftError("The reward reward_model needs --reward_model.reward_model, a folder or hub id.")
        auto, kind, device = AutoModelForSequenceClassification, self.reward_model_dtype, self.reward_model_device
        model, tokenizer = load(job, self.reward_model, auto, kind, device)
        if model.config.num_labels != 1:
            raise SwiftError(f"{self.reward_model} has {model.config.num_labels} outputs; a reward model has one.")
        return model, tokenizer

    def scores(self, model: Any, tokenizer: Any, chats: list[list[dict[str, Any]]]) -> list[float]:
        """One batch; padding counts for nothing."""
        import torch

        texts = [tokenizer.apply_chat_template(chat, tokenize=False) for chat in chats]
        batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt").to(model.device)
        with torch.no_grad():
            return model(**batch).logits[:, 0].float().tolist()


def _chat(row: Row, text: str) -> list[dict[str, Any]]:
    return [*row.prompt().messages, {"role": "assistant", "content": text}]
