"""Answers by transformers' own `generate`, a padded batch at a time: for what cannot be admitted between tokens.

One call answers a whole batch: requests of different temperature, seed, length and adapter go together, because
sampling, stopping and the adapter are decided row by row.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers

from swift_core import SwiftError
from swift_core.contract.engine import Token
from swift_plugin_runtime.batching.collate import on_device, pad_batch
from swift_plugin_runtime.inference.asked import Asked
from swift_plugin_runtime.inference.likelihoods import likelihoods
from swift_plugin_runtime.inference.sampler import Sampler


def answer_together(model: Any, batch: list[Asked], pad: int, extra: dict[str, Any]) -> None:
    """Answer a batch; its listeners hear the pieces. extra: arguments of `generate` that choose the adapters."""
    for place, asked in enumerate(batch):
        _read(model, asked, pad, extra, place)
    if all(asked.ended for asked in batch):
        return
    rows = [asked.inputs for asked in batch]
    inputs = {k: on_device(model.device, v) for k, v in pad_batch(rows, pad, left=True).items()}
    pads = [inputs["input_ids"].shape[1] - len(row["input_ids"]) for row in rows]
    told = [place for place, asked in enumerate(batch) if asked.request.sampling.logprobs is not None]
    sampler = Sampler([asked.draw(model.device) for asked in batch], pads, told)
    with torch.no_grad():
        model.generate(
            **inputs,
            **extra,
            generation_config=greedy(max(asked.writer.limit for asked in batch), pad),
            logits_processor=[sampler],
            stopping_criteria=[Progress(batch, sampler)],
        )


@torch.no_grad()
def _read(model: Any, asked: Asked, pad: int, extra: dict[str, Any], place: int) -> None:
    """The likelihoods of a prompt, where they are asked for; a request that shall say nothing ends here.

    extra: as for the batch; place: the request's in it.
    """
    if asked.reads:
        if model.config.is_encoder_decoder:
            raise SwiftError(f"{asked.request.where}: an encoder reads the prompt, which has no likelihood.")
        inputs = {k: on_device(model.device, v) for k, v in pad_batch([asked.inputs], pad, left=True).items()}
        own = {name: names[place : place + 1] for name, names in extra.items()}
        asked.read_in(0, model(**inputs, **own, use_cache=False).logits[0].float())
    if not asked.writer.limit:
        asked.writer.end("length")


class Progress:
    """A stopping criterion of transformers that hands each row's newest token on."""

    def __init__(self, batch: list[Asked], sampler: Sampler):
        self.batch, self.sampler = batch, sampler

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """input_ids: [rows, tokens]. Returns which rows are done, as bool [rows]."""
        tokens = input_ids[:, -1].tolist()
        told = self._likely(tokens)
        for place, (asked, token) in enumerate(zip(self.batch, tokens, strict=True)):
            if not asked.ended:
                asked.take(token, told.get(place))
        return torch.tensor([asked.ended for asked in self.batch], device=input_ids.device)

    def _likely(self, tokens: list[int]) -> dict[int, Token]:
        """Place → its token's likelihood, where it is asked for."""
        places, raw = self.sampler.told, self.sampler.raw
        if raw is None:
            return {}
        most = [self.batch[place].request.sampling.logprobs or 0 for place in places]
        return dict(zip(places, likelihoods(raw, [tokens[place] for place in places], most), strict=True))


NO_TOKEN = 2**31 - 1
"""An id that no vocabulary reaches: writers know what ends an answer, and the checkpoint's own ends may be ignored."""


def greedy(max_new_tokens: int, pad: int) -> Any:
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
