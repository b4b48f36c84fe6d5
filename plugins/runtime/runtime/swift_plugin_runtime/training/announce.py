"""What a training job says once all is ready, before the first step: its data, what trains, and the steps to come."""

from __future__ import annotations

import math
from typing import Any

import transformers

from swift_core.contract.engine import Request
from swift_core.contract.job import Job
from swift_core.jobs.announce import READ, SIZE, amount, line, size_of
from swift_plugin_runtime.encoding.arrow_cache import StoredRows
from swift_plugin_runtime.encoding.datasets import LazyRows, PackedRows


class Announce(transformers.TrainerCallback):
    """Says three lines as training begins: only then are the steps and the processes known.

    trainer: the one that trains; its `unit` is what an item of its data is called, `tokens(item)` counts one.
    """

    def __init__(self, trainer: Any):
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        job, train = self.trainer.job, self.trainer.train_dataset
        unit = "packs" if isinstance(train, PackedRows) else self.trainer.unit
        facts = {
            "Data": data_facts(job, self.trainer),
            "Trains": tuner_facts(job, given["model"]),
            "Steps": step_facts(args, state, unit, self.trainer.share[1]),
        }
        for name, texts in facts.items():
            job.say(line(name, ", ".join(texts)))


def data_facts(job: Job, trainer: Any) -> list[str]:
    """How many items a trainer has to train on, in how many tokens, and how many rows were dropped or held out."""
    held = [] if trainer.eval_dataset is None else [f"{len(trainer.eval_dataset):,} held out"]
    train = trainer.train_dataset
    if not hasattr(train, "__len__"):
        return ["a stream: read and encoded while training runs, not counted", *held]
    packed = isinstance(train, PackedRows)
    rows = train.rows if packed else train
    facts = [f"{len(rows):,} {trainer.unit}" + (f" in {len(train):,} packs" if packed else "")]
    if isinstance(rows, LazyRows):
        return [*facts, "encoded when their turn comes, their tokens not counted", *held]
    return [*facts, *_token_facts(rows, trainer), *_dropped(job.memo.get(READ), len(rows)), *held]


def _token_facts(rows: Any, trainer: Any) -> list[str]:
    stored = isinstance(rows, StoredRows)  # its columns are counted without reading a row
    lengths = rows.lengths() if stored else [trainer.tokens(rows[n]) for n in range(len(rows))]
    return [f"{sum(lengths):,} tokens (longest {max(lengths):,})"] if any(lengths) else []


def _dropped(read: int | None, kept: int) -> list[str]:
    return [] if read is None else [f"{read - kept:,} dropped" if read > kept else "none dropped"]


def tokens_of(item: Any) -> int:
    """Tokens of an encoded row, a request, a group of texts, or of everything in a list or tuple of them."""
    if isinstance(item, dict):
        return len(item.get("input_ids", ()))
    if isinstance(item, list | tuple):
        return sum(map(tokens_of, item))
    return tokens_of(item.prompt if isinstance(item, Request) else getattr(item, "texts", ()))


def tuner_facts(job: Job, model: Any) -> list[str]:
    """Which tuners there are, how many parameters train, and their share of the model as it was loaded."""
    names = " + ".join(item.entry.name for item in job.many("tuner")) or "the whole model"
    count, size = sum(size_of(p) for p in model.parameters() if p.requires_grad), job.memo.get(SIZE)
    return [names, f"{amount(count)} parameters", *([f"{100 * count / size:.3g} % of the model's"] if size else [])]


def step_facts(args: Any, state: Any, unit: str, shares: int) -> list[str]:
    """How many optimizer steps come, what each of them sees, and how large it is.

    args: transformers.TrainingArguments. state: its TrainerState, with `max_steps` set. unit: as `Announce` has it.
    shares: processes that train on rows of their own.
    """
    factors = {"at once": args.train_batch_size, "accumulated": args.gradient_accumulation_steps}
    factors["processes"] = shares
    product = " × ".join(f"{n} {name}" for name, n in factors.items() if n > 1)
    each = math.prod(factors.values())
    epochs = "" if args.max_steps > 0 else f" in {args.num_train_epochs:g} epochs"
    done = [f"{state.global_step:,} of them done"] if state.global_step else []
    size = f"each of {each:,} {unit if each > 1 else unit.removesuffix('s')}" + (f" ({product})" if product else "")
    rate = f"learning rate {args.learning_rate:g} ({args.lr_scheduler_type.value})"
    mixed = [f"computed in {name}" for name in ("bf16", "fp16") if getattr(args, name)]
    return [f"{state.max_steps:,}{epochs}", *done, size, rate, *mixed]
