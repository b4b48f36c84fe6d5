"""Steps that several jobs share: loading a model with its adapters, and the system text of the job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.data.row import Row

if TYPE_CHECKING:
    from swift_core.job import Chosen, Job


def load_model(job: Job, resume: str | None = None) -> tuple[Any, Any]:
    """(model, processor) of the job: resolved, loaded, quantized where asked, patched.

    resume: a checkpoint whose whole weights, where it holds any, stand in for the model's.
    """
    whole = resume is not None and Path(resume, "config.json").is_file()
    source, revision = (resume, None) if whole else (job.options.model, job.options.model_revision)
    path = job.hook.resolve_checkpoint(job=job, model=source, revision=revision)
    config = job.hook.load_config(job=job, path=path)
    quantization = job.hook.quantization_config(job=job, config=config)
    model = job.hook.load_model(job=job, path=path, config=config, quantization=quantization)
    processor = job.hook.load_processor(job=job, path=path, config=config)
    job.hook.patch_model(job=job, model=model)
    return model, processor


def load_adapters(job: Job, model: Any, trainable: bool = False) -> Any:
    """The model with the tuners of every `--adapters` folder added, under their labels."""
    for item in job.many("tuner"):
        if item.folder:
            arguments = {"folder": item.folder, "name": item.label, "trainable": trainable}
            model = job.call(item, "load_tuner", model=model, **arguments) or model
    return model


def merge_adapters(job: Job, model: Any) -> Any:
    """The model with every loaded adapter folded into its weights."""
    for item in reversed(job.many("tuner")):
        if item.folder:
            model = job.call(item, "merge_tuner", model=model, name=item.label) or model
    return model


def adapters_by_name(job: Job) -> dict[str, list[Chosen]]:
    """The tuners of each `--adapters` folder by the adapter's name, in option order."""
    found: dict[str, list[Chosen]] = {}
    for item in job.many("tuner"):
        if item.adapter:
            found.setdefault(item.adapter, []).append(item)
    return found


def with_system(job: Job, row: Row) -> Row:
    """The row with the job's system text where it has none of its own."""
    system = job.options.system
    if not system or row.messages[0]["role"] == "system":
        return row
    return row.with_messages([{"role": "system", "content": system}, *row.messages])
