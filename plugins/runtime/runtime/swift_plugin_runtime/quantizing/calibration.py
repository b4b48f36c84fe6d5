"""Rows for those who look at data before training starts: starts of adapters, and quantizers that calibrate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.jobs.steps import load_processor
from swift_core.templates.encode import IGNORED


def draw_batches(job: Job, model: Any, count: int, least: int = 1) -> list[dict[str, Any]]:
    """The first `count` rows of --dataset as batches for `model`, encoded through the job's own template.

    least: answer tokens that each batch has at least. Raises SwiftError where the job has no data set or no template.
    """
    from swift_core.data.load import load_all

    dataset = getattr(job.options, "dataset", [])
    if not (dataset and job.many("template")):
        raise SwiftError("This start is computed from rows: say --dataset, or train with another tuner.")
    path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=job.options.model_revision)
    processor = load_processor(job, path, job.hook.load_config(job=job, path=path))
    return batches_of(job, model, processor, load_all(job, dataset)[:count], least)


def batches_of(job: Job, model: Any, processor: Any, rows: list[Any], least: int = 1) -> list[dict[str, Any]]:
    """Rows as batches of as few as hold `least` answer tokens, on the model's device, without loss weights."""
    import torch

    from swift_plugin_runtime.batching.collate import pad_batch
    from swift_plugin_runtime.encoding.datasets import encode_rows
    from swift_plugin_runtime.loading.processor import pad_id_of

    pad_id, made = pad_id_of(processor), []
    for items in grouped(encode_rows(job, rows, processor, "calibration rows"), least):
        batch = {k: v for k, v in pad_batch(items, pad_id).items() if k != "loss_scale"}
        made.append({k: v.to(model.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()})
    return made


def grouped(items: Iterable[dict[str, Any]], least: int) -> list[list[dict[str, Any]]]:
    """Encoded rows in their order, in groups with at least `least` answer tokens; a rest that has fewer is left out.

    Raises SwiftError where not even one group is full.
    """
    made: list[list[dict[str, Any]]] = []
    group: list[dict[str, Any]] = []
    tokens = 0
    for item in items:
        group.append(item)
        tokens += sum(label != IGNORED for label in item["labels"])
        if tokens >= least:
            made.append(group)
            group, tokens = [], 0
    if not made:
        raise SwiftError(f"The rows have fewer than {least} answer tokens together, too few to compute a start from.")
    return made
