"""Steps that several jobs share: loading a model with its adapters, and the system text of the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.data.row import Row

if TYPE_CHECKING:
    from swift_core.job import Job


def load_model(job: Job) -> tuple[Any, Any]:
    """(model, processor) of the job: resolved, loaded, quantized where asked, patched."""
    path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=job.options.model_revision)
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
            model = job.call(item, "load_tuner", model=model, folder=item.folder, name=item.label, trainable=trainable)
    return model


def with_system(job: Job, row: Row) -> Row:
    """The row with the job's system text where it has none of its own."""
    system = job.options.system
    if not system or row.messages[0]["role"] == "system":
        return row
    return row.with_messages([{"role": "system", "content": system}, *row.messages])
