"""How much there is to do: rows, tokens and steps of a job, the time it takes at a speed, and the disk it fills."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.contract.components import Trainer, declared
from swift_core.contract.job import Job
from swift_core.data.load import load_all
from swift_core.jobs.steps import load_processor
from swift_plugin_runtime.options import training_options

SAMPLE = 1000
"""Rows that are encoded to learn their lengths; the others are taken to be alike."""


@dataclass
class Work:
    """rows: in the data; longest, mean: tokens of a row; steps, tokens: of the whole run. None: nothing is known."""

    rows: int | None = None
    longest: int | None = None
    mean: float | None = None
    steps: int | None = None
    tokens: int | None = None


def lengths_of(job: Job, folder: str, config: Any) -> tuple[int | None, list[int]]:
    """(rows in the job's data, tokens of each of the first `SAMPLE`); nothing where no data or no tokenizer is here."""
    words = getattr(job.options, "dataset", [])
    if not words:
        return None, []
    method = job.many("trainer")
    answers = bool(method) and bool(declared(method[0].component, Trainer, "needs_answer"))
    rows = load_all(job, words, need_answer=answers)
    if not any(Path(folder).glob("tokenizer*")):
        return len(rows), []
    processor = load_processor(job, folder, config)
    shown = rows[:SAMPLE]
    if method and hasattr(method[0].component, "pair_losses"):
        from swift_plugin_runtime.alignment.preference import encode_pairs

        return len(rows), [len(side["input_ids"]) for pair in encode_pairs(job, shown, processor) for side in pair]
    encoded = job.hook.encode(job=job, rows=shown, processor=processor, generation=not answers)
    return len(rows), [len(row["input_ids"]) for row in encoded]


def work_of(job: Job, rows: int | None, lengths: list[int], devices: int) -> Work:
    """Steps and tokens of a training job on so many devices."""
    o, training = job.options, training_options(job)
    longest = max(lengths) if lengths else None
    if longest and o.max_length:
        longest = min(longest, o.max_length)
    mean = sum(lengths) / len(lengths) if lengths else None
    sides = 2 if hasattr(job.one("trainer"), "pair_losses") else 1
    steps, seen = _steps(rows, o.max_steps, training, devices)
    tokens = None if seen is None or mean is None else round(seen * sides * mean)
    return Work(rows, longest, mean, steps, tokens)


def _steps(rows: int | None, asked: int, training: Any, devices: int) -> tuple[int | None, float | None]:
    """(optimizer steps, rows that go through the model), as transformers counts them; None where no data tell."""
    batch, gathered = training.per_device_train_batch_size * devices, training.gradient_accumulation_steps
    if asked > 0:
        return asked, asked * batch * gathered
    if rows is None:
        return None, None
    each = math.ceil(math.ceil(rows / batch) / gathered)
    return math.ceil(each * training.num_train_epochs), rows * training.num_train_epochs


def checkpoints_kept(job: Job, steps: int | None) -> int:
    """Checkpoints that lie in the output folder when training ends."""
    training = training_options(job)
    if training.save_strategy == "no":
        return 1
    epochs = math.ceil(training.num_train_epochs)
    written = epochs if training.save_strategy == "epoch" else math.ceil((steps or 1) / training.save_steps)
    return max(1, min(written, training.save_total_limit or written))
