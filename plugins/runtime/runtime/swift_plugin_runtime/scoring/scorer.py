"""A trained scoring or embedding model at work: scores, classes and vectors of conversations."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch

from swift_core.contract.engine import Reply, Request
from swift_core.contract.job import Job
from swift_core.contract.row import Row, check_row
from swift_core.data.load import batches
from swift_core.inference.conversation import served_name
from swift_core.job.lockfile import LOCK_FILE, read_json
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_adapters, load_model
from swift_plugin_runtime.batching.collate import pad_batch
from swift_plugin_runtime.inference.known_ids import known_ids
from swift_plugin_runtime.loading.positions import check_length, longest_text
from swift_plugin_runtime.loading.processor import pad_id_of, tokenizer_of
from swift_plugin_runtime.scoring.relevance import Judge
from swift_plugin_runtime.scoring.texts import embed, own_pooling

Encoded = dict[str, Any]
"""A conversation as `encode` returns it, without what is trained."""


class Scorer:
    """Scores conversations with a checkpoint of rm, reranker, seq_cls or embedding.

    Scorer.open("output/checkpoint-100").scores(rows)   # [[0.7], [-1.2]]: numbers per row
    """

    def __init__(self, job: Job, model: Any, processor: Any):
        self.job, self.model, self.processor = job, model.eval(), processor
        self.pad = pad_id_of(processor)
        self.model.config.get_text_config().pad_token_id = self.pad  # heads look for the last token before padding
        self.judge = judge_of(job, tokenizer_of(processor))
        self.longest = longest_text(self.model, job.options.max_length)

    @classmethod
    def open(cls, folder: str, **options: Any) -> Scorer:
        """From a checkpoint folder; options are those of loading a model (device, torch_dtype …)."""
        told = {"ckpt_dir": folder, **options}
        job = prepare("export", [Given(k, v, "Scorer") for k, v in told.items()])
        model, processor = load_model(job)
        return cls(job, load_adapters(job, model), processor)

    def scores(self, rows: list[Row], size: int = 8) -> list[list[float]]:
        """The head's numbers for each conversation, answer and all; of a generative reranker the odds of yes."""
        return self.scores_of(self.encoded(rows), size)

    def scores_of(self, encoded: list[Encoded], size: int = 8) -> list[list[float]]:
        """The same of conversations that are encoded."""
        if (judge := self.judge) is not None:
            return self._each(encoded, size, lambda inputs: judge.scores(self.model, inputs))
        return self._each(encoded, size, lambda inputs: self.model(**inputs, use_cache=False).logits.float())

    def vectors(self, rows: list[Row], size: int = 8) -> list[list[float]]:
        """A vector of unit length for each conversation, pooled as in training, or as a published checkpoint says."""
        return self.vectors_of(self.encoded(rows), size)

    def vectors_of(self, encoded: list[Encoded], size: int = 8) -> list[list[float]]:
        """The same of conversations that are encoded."""
        pooling = trained_by(self.job).get("options", {}).get("pooling") or own_pooling(self.model) or "last"
        return self._each(encoded, size, lambda inputs: embed(self.model, inputs, pooling))

    def encoded(self, rows: list[Row]) -> list[Encoded]:
        """The tokens of each conversation; a generative reranker's are those of its question.

        Raises TooLong for one that is longer than --max_length or the model's table of positions.
        """
        judge, hook = self.judge, self.job.hook
        rows = rows if judge is None else [judge.question(row) for row in rows]
        made = hook.encode(job=self.job, rows=rows, processor=self.processor, generation=judge is not None)
        for row, one in zip(rows, made, strict=True):
            check_length(row.where, len(one["input_ids"]), self.longest)
        return [{k: v for k, v in e.items() if k not in ("labels", "loss_scale")} for e in made]

    @torch.no_grad()
    def _each(self, encoded: list[Encoded], size: int, call: Any) -> list[list[float]]:
        """The numbers of each text, in the order of the texts; those of like length share a batch."""
        outputs: dict[int, list[float]] = {}
        for part in batches(sorted(range(len(encoded)), key=lambda n: -len(encoded[n]["input_ids"])), size):
            inputs = pad_batch([encoded[number] for number in part], self.pad)
            inputs = {k: v.to(self.model.device) if isinstance(v, torch.Tensor) else v for k, v in inputs.items()}
            outputs |= zip(part, call(inputs).tolist(), strict=True)
        return [outputs[number] for number in range(len(encoded))]


class ScoringEngine:
    """An engine whose replies are JSON: a label with probabilities, a score, or an embedding."""

    scores_answers = True
    """Conversations are scored with their last answer."""

    def __init__(self, job: Job, model: Any, processor: Any):
        self.scorer = Scorer(job, model, processor)
        self.models = [served_name(job.options)]
        self.turn = threading.Lock()
        self.vocabulary = model.config.get_text_config().vocab_size
        self.embeds = not hasattr(model.config, "problem_type") or trained_by(job).get("name") == "embedding"
        self.embeds |= job.card.task == "embedding"
        self.embeds &= self.scorer.judge is None
        said = trained_by(job).get("options", {}).get("problem_type", "")  # an adapter's config does not say it
        self.names: list[str] = trained_by(job).get("options", {}).get("class_names", [])
        self.kind = PROBLEMS.get(said, getattr(model.config, "problem_type", None))

    def generate(self, requests: list[Request], listen: Any = None) -> list[Reply]:
        """A reply for each conversation."""
        encoded = [self._encoded(request) for request in requests]
        with self.turn:
            texts = self._embedded(encoded) if self.embeds else self._scored(encoded)
        for place, text in enumerate(texts):
            if listen is not None:
                listen(place, text)
        counts = [len(one["input_ids"]) for one in encoded]
        return [Reply(text, prompt_tokens=count) for text, count in zip(texts, counts, strict=True)]

    def prepared(self, request: Request) -> Request:
        """The request with its prompt as tokens, checked. Raises SwiftError where it cannot be asked."""
        return dataclasses.replace(request, prompt=self._encoded(request))

    def _encoded(self, request: Request) -> Encoded:
        if isinstance(request.prompt, dict):
            return request.prompt
        if isinstance(request.prompt, list):
            check_length(request.where, len(request.prompt), self.scorer.longest)
            return {"input_ids": known_ids(request.prompt, self.vocabulary, request.where)}
        row = check_row(request.row)
        asked = row.prompt() if self.embeds or self.kind else row  # classifiers were taught without answers
        return self.scorer.encoded([asked])[0]

    def _embedded(self, encoded: list[Encoded]) -> list[str]:
        return [json.dumps({"embedding": vector}) for vector in self.scorer.vectors_of(encoded)]

    def _scored(self, encoded: list[Encoded]) -> list[str]:
        return [json.dumps(told(values, self.kind, self.names)) for values in self.scorer.scores_of(encoded)]

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """The whole reply as one piece."""
        reply = self.generate([request])[0]
        yield reply.text
        return reply

    def close(self) -> None:
        """Let go of the model."""
        self.scorer.model = None


def gives_numbers(job: Job, model: Any) -> bool:
    """Whether a loaded model is asked for scores or vectors, and not for words."""
    writes = hasattr(model, "generate") and trained_by(job).get("name") != "embedding"
    return not writes or _judges(job)


def judge_of(job: Job, tokenizer: Any) -> Judge | None:
    """How a generative reranker is asked: as in its training, else as Qwen3 Reranker; None for other models."""
    if not _judges(job):
        return None
    said = trained_by(job).get("options", {})
    names = ("positive_token", "negative_token", "prompt", "instruction")
    return Judge.of(tokenizer, **{name: said[name] for name in names if name in said})


def _judges(job: Job) -> bool:
    task: str = trained_by(job).get("name") or job.card.task
    return task == "generative_reranker"


PROBLEMS = {
    "single": "single_label_classification",
    "multi": "multi_label_classification",
    "regression": "regression",
}
"""The trainer seq_cls's words for the problem types of transformers."""


def told(values: list[float], kind: str | None, names: list[str] | None = None) -> dict[str, Any]:
    """What a head's numbers mean. kind: `problem_type` of the config; None for reward models and rerankers.

    names: of the classes, which stand in place of their numbers.
    """
    numbers = torch.tensor(values)
    classes: list[Any] = names if names and len(names) == len(values) else list(range(len(values)))
    if kind == "single_label_classification":
        return {"label": classes[int(numbers.argmax())], "probabilities": numbers.softmax(0).tolist()}
    if kind == "multi_label_classification":
        chosen = [name for name, value in zip(classes, values, strict=True) if value > 0]
        return {"labels": chosen, "probabilities": numbers.sigmoid().tolist()}
    return {"values": values} if kind == "regression" else {"score": values[0] if len(values) == 1 else values}


def trained_by(job: Job) -> dict[str, Any]:
    """The trainer component in the lock of the job's checkpoint: its name and options; empty where none is known."""
    places = [item.folder for item in job.many("tuner") if item.folder] + [str(job.options.model)]
    for place in places:
        for component in read_json(Path(place, LOCK_FILE)).get("components", []):
            if component["kind"] == "trainer":
                return component
    return {}
