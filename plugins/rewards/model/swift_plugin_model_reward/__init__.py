"""A reward model as reward: a sequence classifier with one output, which reads question and answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, hookimpl, option
from swift_core.data.row import Row


@dataclass(kw_only=True, eq=False)
class RewardModel:
    """The output of a reward model (a sequence classifier checkpoint) on question and answer."""

    swift_api = 1

    reward_model: str = option("", "Folder or hub id of the reward model, with one output and a chat template.")
    reward_model_batch_size: int = option(8, "Conversations read at a time.", ge=1)
    reward_model_device: str | None = option(None, "Device of the reward model; left out: a GPU where there is one.")
    reward_model_dtype: str = option("auto", "Its data type, auto: the checkpoint's own.")

    @hookimpl
    def score(self, job: Any, rows: list[Row], completions: list[str]) -> list[float]:
        model, tokenizer = self.loaded(job)
        chats = [_chat(row, text) for row, text in zip(rows, completions, strict=True)]
        step = self.reward_model_batch_size
        return [s for n in range(0, len(chats), step) for s in self.scores(model, tokenizer, chats[n : n + step])]

    def loaded(self, job: Any) -> tuple[Any, Any]:
        """Model and tokenizer, loaded once for the life of the job."""
        key = ("reward model", self.reward_model)
        if key not in job.memo:
            job.memo[key] = self.load(job)
        found: tuple[Any, Any] = job.memo[key]
        return found

    def load(self, job: Any) -> tuple[Any, Any]:
        """SwiftError where it is no reward model."""
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        if not self.reward_model:
            raise SwiftError("The reward reward_model needs --reward_model.reward_model, a folder or hub id.")
        path = job.hook.resolve_checkpoint(job=job, model=self.reward_model, revision=None)
        model = AutoModelForSequenceClassification.from_pretrained(path, dtype=self.reward_model_dtype)
        tokenizer = AutoTokenizer.from_pretrained(path)
        if model.config.num_labels != 1:
            raise SwiftError(f"{self.reward_model} has {model.config.num_labels} outputs; a reward model has one.")
        if not tokenizer.chat_template:
            raise SwiftError(f"{self.reward_model} has no chat template, by which it would read a conversation.")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id
        device = self.reward_model_device or ("cuda" if torch.cuda.is_available() else "cpu")
        return model.eval().requires_grad_(False).to(device), tokenizer

    def scores(self, model: Any, tokenizer: Any, chats: list[list[dict[str, Any]]]) -> list[float]:
        """One batch; padding counts for nothing."""
        import torch

        texts = [tokenizer.apply_chat_template(chat, tokenize=False) for chat in chats]
        batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt").to(model.device)
        with torch.no_grad():
            found: list[float] = model(**batch).logits[:, 0].float().tolist()
        return found


def _chat(row: Row, text: str) -> list[dict[str, Any]]:
    return [*row.prompt().messages, {"role": "assistant", "content": text}]
