"""Inference with transformers' own `generate`, in this process.

One `generate` call answers a whole batch: requests of different temperature, seed, length and adapter go
together, because sampling, stopping and the adapter are decided row by row. An answer does not depend on
what else is in its batch, save for the rounding of the batched kernels.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from swift_core import SwiftError, hookimpl
from swift_core.contract.engine import Listener, Reply, Request
from swift_core.contract.job import Job
from swift_core.inference.conversation import askable, reply_of, room, served_name, stops_of, stream_one, window_of
from swift_core.jobs.steps import adapters_by_name, load_adapters, load_model, merge_adapters

BASE = "__base__"
"""PEFT's name for "no adapter" in a batch of several."""


@dataclass(kw_only=True, eq=False)
class TransformersBackend:
    """Answers with transformers in this process: batched, streaming, adapters by name."""

    swift_api = 1

    @hookimpl
    def start_engine(self, job: Job) -> Any:
        from swift_plugin_runtime.scoring.scorer import ScoringEngine, gives_numbers

        model, processor = load_model(job)
        scores = gives_numbers(job, model)  # before PEFT wraps it: its wrapper always generates
        model = load_adapters(job, model)
        if scores:
            return ScoringEngine(job, model, processor)
        if job.options.merge_lora:
            model = merge_adapters(job, model)
        return TransformersEngine(job, model.eval(), processor)


class TransformersEngine:
    """A loaded model that answers; calls from several threads take turns."""

    def __init__(self, job: Job, model: Any, processor: Any):
        self.job, self.model, self.processor = job, model, processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.adapters = Adapters(job, model)
        self.models = [served_name(job.options), *self.adapters.labels]
        self.max_batch_size = getattr(job.options, "max_batch_size", 8)
        self.window = window_of(job, model.config)
        self.pad = _first_not_none(self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0)
        self.ends, self.stops = _ends(job, model, self.tokenizer)
        self.turn = threading.Lock()

    def generate(self, requests: list[Request], listen: Listener | None = None) -> list[Reply]:
        """Answers in order, at most `max_batch_size` at a time; SwiftError before any if one cannot be asked."""
        encoded = [self._encode(request) for request in requests]
        replies: dict[int, Reply] = {}
        with self.turn:
            for group in self.adapters.groups(requests):
                for start in range(0, len(group), self.max_batch_size):
                    places = group[start : start + self.max_batch_size]
                    batch = [(requests[p], encoded[p]) for p in places]
                    replies |= zip(places, self._answer(batch, places, listen), strict=True)
        return [replies[place] for place in range(len(requests))]

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """Pieces of one answer; joined they are what `generate` gives."""
        return stream_one(self, request)

    def close(self) -> None:
        """Let go of the model; its memory returns when nobody else holds it."""
        self.model = None

    def _encode(self, request: Request) -> dict[str, Any]:
        """The request's tokens and media, checked, and `room`: the most tokens its answer may have."""
        self.adapters.check(request)
        if request.prompt is None:
            hook, rows = self.job.hook, [askable(request)]
            encoded = hook.encode(job=self.job, rows=rows, processor=self.processor, generation=True)[0]
        else:
            encoded = {"input_ids": self._plain_ids(request.prompt)}
        return {"room": room(request, len(encoded["input_ids"]), self.window), "inputs": encoded}

    def _plain_ids(self, prompt: str | list[int]) -> list[int]:
        return list(self.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt)

    def _answer(
        self, batch: list[tuple[Request, dict[str, Any]]], places: list[int], listen: Listener | None
    ) -> list[Reply]:
        """One call of `generate`; `places` are the numbers under which the listener knows the answers."""
        from swift_plugin_runtime.batching.collate import pad_batch

        requests, rows = [request for request, _ in batch], [encoded["inputs"] for _, encoded in batch]
        writers = [self._writer(request, encoded["room"]) for request, encoded in batch]
        inputs = {k: _on(self.model.device, v) for k, v in pad_batch(rows, self.pad, left=True).items()}
        pads = [inputs["input_ids"].shape[1] - len(row["input_ids"]) for row in rows]
        with self.adapters.active([request.adapter for request in requests]) as extra:
            self.model.generate(
                **inputs,
                **extra,
                generation_config=_greedy(max(w.limit for w in writers), self.pad),
                logits_processor=[Sampler(requests, pads, self.model.device)],
                stopping_criteria=[Progress(writers, places, listen)],
            )
        return [
            reply_of(self.job, request, writer.text, writer.reason, (len(row["input_ids"]), writer.count))
            for request, row, writer in zip(requests, rows, writers, strict=True)
        ]

    def _writer(self, request: Request, limit: int) -> Writer:
        return Writer(
            partly=lambda ids: self.tokenizer.decode(ids, skip_special_tokens=False),
            wholly=lambda ids: self.job.hook.decode(job=self.job, ids=ids, processor=self.processor),
            ends=self.ends,
            stops=self.stops + stops_of(self.job, request),
            limit=limit,
            steady=len(self.job.hook.decode.get_hookimpls()) == 1,
        )


class Adapters:
    """The loaded adapters by name, and which of them may answer in one batch."""

    def __init__(self, job: Job, model: Any):
        found = {} if job.options.merge_lora else adapters_by_name(job)
        self.model = model
        self.labels = {name: [item.label for item in items] for name, items in found.items()}
        known = getattr(model, "peft_config", {})
        self.fixed = any(label not in known for labels in self.labels.values() for label in labels)
        self.mixes = bool(self.labels) and not self.fixed and all(map(_mixes, map(known.get, self._all())))
        if self.fixed and len(self.labels) > 1:
            raise SwiftError("One of the adapters changes the model's layers for good; serve one at a time, or merge.")

    def _all(self) -> list[str]:
        return [label for labels in self.labels.values() for label in labels]

    def check(self, request: Request) -> None:
        """SwiftError where the request names an adapter that is not there, or a base model that is not whole."""
        if request.adapter is not None and request.adapter not in self.labels:
            known = f"Loaded are: {', '.join(self.labels)}." if self.labels else "None is loaded."
            raise SwiftError(f"{request.where}: there is no adapter {request.adapter!r}. {known}")
        if self.fixed and request.adapter is None:
            name = next(iter(self.labels))
            raise SwiftError(
                f"The adapter {name!r} changed the model's layers and cannot be left out; ask for {name!r}."
            )

    def groups(self, requests: list[Request]) -> list[list[int]]:
        """Places of the requests that may share a batch: all, or those of one adapter each."""
        found: dict[str | None, list[int]] = {}
        for place, request in enumerate(requests):
            found.setdefault(None if self.mixes else request.adapter, []).append(place)
        return list(found.values())

    @contextmanager
    def active(self, names: list[str | None]) -> Iterator[dict[str, Any]]:
        """Extra arguments for `generate` with which row i is answered by the adapter `names[i]`."""
        if not self.labels or self.fixed:
            yield {}
        elif len(set(names)) > 1:
            yield {"adapter_names": [name or BASE for name in names]}
        elif names[0] is None:
            with self.model.disable_adapter():
                yield {}
        else:
            labels = self.labels[names[0]]
            self.model.base_model.set_adapter(labels, inference_mode=True)
            yield {}


def _mixes(config: Any) -> bool:
    """Whether PEFT can apply this adapter to single rows of a batch: plain LoRA, and nothing else."""
    return config.peft_type == "LORA" and not (
        config.use_dora or config.modules_to_save or config.trainable_token_indices
    )


@dataclass
class Writer:
    """One answer in the making, token by token.

    partly: ids → text as it is. wholly: ids → the finished answer (the job's `decode`). ends: tokens that
    end the answer. stops: texts that do. limit: most tokens. steady: whether `wholly` only cuts what
    `partly` gives, so that pieces can go out before the end. reason: why it ended, empty while it has not.
    """

    partly: Callable[[list[int]], str]
    wholly: Callable[[list[int]], str]
    ends: set[int]
    stops: list[str]
    limit: int
    steady: bool = True
    ids: list[int] = field(default_factory=list)
    text: str = ""
    reason: str = ""
    count: int = 0
    _given: int = 0
    _window: tuple[int, int] = (0, 0)

    def add(self, token: int) -> None:
        """Take the next token; sets `reason` when it ends the answer."""
        self.count += 1
        if token in self.ends:
            return self.end("stop")
        self.ids.append(token)
        if self._read():
            return self.end("stop")
        return self.end("length") if self.count >= self.limit else None

    def end(self, reason: str) -> None:
        """Close the answer: its text is now what `wholly` says, up to the first stop word."""
        self.reason = reason
        text = self.wholly(self.ids)
        found = [place for stop in self.stops if (place := text.find(stop)) >= 0]
        self.text = text[: min(found)] if found else text

    def _read(self) -> bool:
        """Append the text of new tokens; True where a stop word is complete.

        A token's text depends on its neighbour's (a sentence piece's space), so the tokens read last are
        decoded again with the new ones; and a character may end in a later token, which shows as U+FFFD.
        """
        begin, end = self._window
        before, now = self.partly(self.ids[begin:end]), self.partly(self.ids[begin:])
        if len(now) <= len(before) or now.endswith("\ufffd"):
            return False
        old = len(self.text)
        self.text += now[len(before) :]
        self._window = (end, len(self.ids))
        return any(self.text.find(stop, max(0, old - len(stop))) >= 0 for stop in self.stops)

    def piece(self) -> str:
        """Text that is certain to stay and was not given out yet."""
        if self.reason:
            upto = len(self.text)
        else:
            upto = len(self.text) - self._held() if self.steady else 0
        new = self.text[self._given : upto]
        self._given = max(self._given, upto)
        return new

    def _held(self) -> int:
        """Length of the text's end that may turn out to be the start of a stop word."""
        longest = max((len(stop) - 1 for stop in self.stops), default=0)
        for size in range(min(longest, len(self.text)), 0, -1):
            if any(stop.startswith(self.text[-size:]) for stop in self.stops):
                return size
        return 0


class Progress:
    """A stopping criterion of transformers that hands each row's newest token to its writer."""

    def __init__(self, writers: list[Writer], places: list[int], listen: Listener | None):
        self.writers, self.places, self.listen = writers, places, listen

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """input_ids: [rows, tokens]. Returns which rows are done, as bool [rows]."""
        import torch

        for place, writer, token in zip(self.places, self.writers, input_ids[:, -1].tolist(), strict=True):
            if not writer.reason:
                writer.add(token)
                self._tell(place, writer)
        return torch.tensor([bool(writer.reason) for writer in self.writers], device=input_ids.device)

    def _tell(self, place: int, writer: Writer) -> None:
        piece = writer.piece() if self.listen else ""
        if piece and self.listen and not self.listen(place, piece) and not writer.reason:
            writer.end("stop")


class Sampler:
    """A logits processor that draws each row by its own request: temperature, top-p, top-k, penalty, seed.

    The likeliest token after adding Gumbel noise to the scaled logits is a draw from their softmax (Gumbel
    1954; Maddison et al., arXiv 1411.0030), so a greedy `generate` samples row by row, each from its own seed.
    """

    def __init__(self, requests: list[Request], pads: list[int], device: Any):
        """pads: padding tokens to the left of each row, which the repetition penalty must not count."""
        import torch

        self.requests, self.pads = requests, pads
        seeds = [secrets.randbits(63) if r.seed is None else r.seed for r in requests]
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """input_ids: [rows, tokens], scores: [rows, vocabulary] in float32; returns scores to take the best of."""
        for row, request in enumerate(self.requests):
            if request.repetition_penalty != 1.0:
                scores[row] = _penalized(input_ids[row, self.pads[row] :], scores[row], request.repetition_penalty)
            if request.temperature > 0:
                kept = _nucleus(scores[row] / request.temperature, request.top_k, request.top_p)
                noise = scores.new_empty(scores.shape[1]).exponential_(generator=self.generators[row])
                scores[row] = kept - noise.log()
        return scores


def _penalized(ids: Any, scores: Any, penalty: float) -> Any:
    """Scores [vocabulary] with those of `ids` made less likely (Keskar et al., arXiv 1909.05858)."""
    seen = scores[ids]
    return scores.index_put((ids,), seen.where(seen < 0, seen / penalty).where(seen >= 0, seen * penalty))


def _nucleus(scores: Any, top_k: int, top_p: float) -> Any:
    """Scores [vocabulary] with -inf outside the k likeliest and the smallest set of mass p (arXiv 1904.09751)."""
    if not top_k and top_p >= 1:
        return scores
    ordered, order = scores.sort(descending=True)
    if top_k:
        ordered[top_k:] = -float("inf")
    probabilities = ordered.softmax(-1)
    ordered[probabilities.cumsum(-1) - probabilities >= top_p] = -float("inf")
    return ordered.new_empty(ordered.shape).scatter_(0, order, ordered)


def _greedy(max_new_tokens: int, pad: int) -> Any:
    """Settings that leave every choice to the sampler, whatever the checkpoint's own generation config says."""
    from transformers import GenerationConfig

    return GenerationConfig(
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


def _ends(job: Job, model: Any, tokenizer: Any) -> tuple[set[int], list[str]]:
    """(tokens, texts) that end an answer: the template's stop words, the checkpoint's ends, and the padding."""
    words = [*job.one("template").stop_words(tokenizer), *filter(None, [tokenizer.pad_token])]
    encoded = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
    own = model.generation_config.eos_token_id
    ends = {ids[0] for ids in encoded if len(ids) == 1}
    ends |= set(own if isinstance(own, list) else [own]) - {None}
    return ends, words


def _first_not_none(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _on(device: Any, value: Any) -> Any:
    return value.to(device) if hasattr(value, "to") else value
