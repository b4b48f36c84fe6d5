"""Answers by transformers' own `generate`, a padded batch at a time: for what cannot be admitted between tokens.

One call answers a whole batch: requests of different temperature, seed, length and adapter go together, because
sampling, stopping and the adapter are decided row by row.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers

from swift_plugin_runtime.batching.collate import pad_batch
from swift_plugin_runtime.inference.asked import Asked
from swift_plugin_runtime.inference.sampler import Sampler


def answer_together(model: Any, batch: list[Asked], pad: int, extra: dict[str, Any]) -> None:
    """Answer a batch; its listeners hear the pieces. extra: arguments of `generate` that choose the adapters."""
    rows = [asked.inputs for asked in batch]
    inputs = {k: _on(model.device, v) for k, v in pad_batch(rows, pad, left=True).items()}
    pads = [inputs["input_ids"].shape[1] - len(row["input_ids"]) for row in rows]
    with torch.no_grad():
        model.generate(
            **inputs,
            **extra,
            generation_config=_greedy(max(asked.writer.limit for asked in batch), pad),
            logits_processor=[Sampler([asked.request for asked in batch], pads, model.device)],
            stopping_criteria=[Progress(batch)],
        )


class Progress:
    """A stopping criterion of transformers that hands each row's newest token on."""

    def __init__(self, batch: list[Asked]):
        self.batch = batch

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """input_ids: [rows, tokens]. Returns which rows are done, as bool [rows]."""
        for asked, token in zip(self.batch, input_ids[:, -1].tolist(), strict=True):
            if not asked.ended:
                asked.take(token)
        return torch.tensor([asked.ended for asked in self.batch], device=input_ids.device)


NO_TOKEN = 2**31 - 1
"""An id that no vocabulary reaches: writers know what ends an answer, and the checkpoint's own ends may be ignored."""


def _greedy(max_new_tokens: int, pad: int) -> Any:
    """Settings that leave every choice to the sampler, whatever the checkpoint's own generation config says."""
    return transformers.GenerationConfig(
        max_new_tokens=max_new_tokens,
        eos_token_id=NO_TOKEN,
        pad_token_id=pad,
        do_sample=False,
        num_beams=1,
        num_return_sequences=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        min_new_tokens=0,
        return_dict_in_generate=False,
        use_cache=True,
    )


def _on(device: Any, value: Any) -> Any:
    return value.to(device) if hasattr(value, "to") else value
