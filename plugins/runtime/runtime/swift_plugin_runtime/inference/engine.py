"""An engine over a model in this process, by transformers' own `generate`.

One `generate` call answers a whole batch: requests of different temperature, seed, length and adapter go
together, because sampling, stopping and the adapter are decided row by row. An answer does not depend on
what else is in its batch, save for the rounding of the batched kernels.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import transformers

from swift_core.contract.engine import Listener, Reply, Request
from swift_core.contract.job import Job
from swift_core.inference.conversation import askable, room, stream_one, window_of
from swift_core.inference.ending import Writer, ending_of, reply_of, writer_of
from swift_plugin_runtime.batching.collate import pad_batch
from swift_plugin_runtime.inference.adapters import Adapters
from swift_plugin_runtime.inference.sampler import Sampler
from swift_plugin_runtime.loading.modes import evaluating
from swift_plugin_runtime.loading.processor import tokenizer_of


class TransformersEngine:
    """A loaded model that answers; calls from several threads take turns.

    name: of the base model. adapters: those that requests may name; None: the model answers as it is, whatever it
    holds. max_batch_size: most requests in one call of the model; None: all. window: most tokens of prompt and answer
    together; None: what the model or --max_length allows.
    """

    def __init__(
        self,
        job: Job,
        model: Any,
        processor: Any,
        name: str,
        adapters: Adapters | None = None,
        max_batch_size: int | None = None,
        window: int | None = None,
    ):
        self.job, self.model, self.processor = job, model, processor
        self.tokenizer = tokenizer_of(processor)
        self.adapters = adapters
        self.models = [name, *(adapters.labels if adapters else [])]
        self.max_batch_size = max_batch_size
        self.window = window or window_of(job, model.config)
        self.pad = _first_not_none(self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0)
        self.ending = ending_of(job, self.tokenizer, model.generation_config.eos_token_id)
        self.turn = threading.Lock()

    def generate(self, requests: list[Request], listen: Listener | None = None) -> list[Reply]:
        """Answers in order, at most `max_batch_size` at a time; SwiftError before any if one cannot be asked."""
        encoded = [self._encode(request) for request in requests]
        replies: dict[int, Reply] = {}
        with self.turn, evaluating(self.model):
            for group in self._groups(requests):
                size = self.max_batch_size or len(group)
                for start in range(0, len(group), size):
                    places = group[start : start + size]
                    batch = [(requests[p], encoded[p]) for p in places]
                    replies |= zip(places, self._answer(batch, places, listen), strict=True)
        return [replies[place] for place in range(len(requests))]

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """Pieces of one answer; joined they are what `generate` gives."""
        return stream_one(self, request)

    def close(self) -> None:
        """Let go of the model; its memory returns when nobody else holds it."""
        self.model = None

    def _groups(self, requests: list[Request]) -> list[list[int]]:
        """Places of the requests that may share a batch."""
        return self.adapters.groups(requests) if self.adapters else [list(range(len(requests)))]

    def _encode(self, request: Request) -> tuple[dict[str, Any], int]:
        """(the request's tokens and media, checked; the most tokens that its answer may have)."""
        if self.adapters:
            self.adapters.check(request)
        inputs = self._inputs(request)
        return inputs, room(request, len(inputs["input_ids"]), self.window)

    def _inputs(self, request: Request) -> dict[str, Any]:
        if isinstance(request.prompt, dict):
            return request.prompt
        if isinstance(request.prompt, str):
            return {"input_ids": list(self.tokenizer(request.prompt)["input_ids"])}
        if request.prompt is not None:
            return {"input_ids": list(request.prompt)}
        hook, rows = self.job.hook, [askable(request)]
        encoded: list[dict[str, Any]] = hook.encode(job=self.job, rows=rows, processor=self.processor, generation=True)
        return encoded[0]

    def _answer(
        self, batch: list[tuple[Request, tuple[dict[str, Any], int]]], places: list[int], listen: Listener | None
    ) -> list[Reply]:
        """One call of `generate`; `places` are the numbers under which the listener knows the answers."""
        requests, rows = [request for request, _ in batch], [inputs for _, (inputs, _) in batch]
        writers = [writer_of(self.job, self.processor, request, self.ending, most) for request, (_, most) in batch]
        inputs = {k: _on(self.model.device, v) for k, v in pad_batch(rows, self.pad, left=True).items()}
        pads = [inputs["input_ids"].shape[1] - len(row["input_ids"]) for row in rows]
        names = [request.adapter for request in requests]
        active: AbstractContextManager[dict[str, Any]] = (
            self.adapters.active(names) if self.adapters else nullcontext({})
        )
        with active as extra:
            self.model.generate(
                **inputs,
                **extra,
                generation_config=_greedy(max(w.limit for w in writers), self.pad),
                logits_processor=[Sampler(requests, pads, self.model.device)],
                stopping_criteria=[Progress(writers, places, listen)],
            )
        return [
            reply_of(self.job, request, w.text, w.reason, (len(row["input_ids"]), len(w.ids)), w.ids)
            for request, row, w in zip(requests, rows, writers, strict=True)
        ]


class Progress:
    """A stopping criterion of transformers that hands each row's newest token to its writer."""

    def __init__(self, writers: list[Writer], places: list[int], listen: Listener | None):
        self.writers, self.places, self.listen = writers, places, listen

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """input_ids: [rows, tokens]. Returns which rows are done, as bool [rows]."""
        for place, writer, token in zip(self.places, self.writers, input_ids[:, -1].tolist(), strict=True):
            if not writer.reason:
                writer.add(token)
                self._tell(place, writer)
        return torch.tensor([bool(writer.reason) for writer in self.writers], device=input_ids.device)

    def _tell(self, place: int, writer: Writer) -> None:
        piece = writer.piece() if self.listen else ""
        if piece and self.listen and not self.listen(place, piece) and not writer.reason:
            writer.end("stop")


def _greedy(max_new_tokens: int, pad: int) -> Any:
    """Settings that leave every choice to the sampler, whatever the checkpoint's own generation config says."""
    return transformers.GenerationConfig(
        max_new_tokens=max_new_tokens,
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


def _first_not_none(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _on(device: Any, value: Any) -> Any:
    return value.to(device) if hasattr(value, "to") else value
