"""Steps that several jobs share: loading a model, its tuners attached or loaded, a checkpoint to go on from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.jobs.announce import say_model, waiting
from swift_core.jobs.checkpoints import refuse_shards
from swift_core.jobs.tuners import attach_tuner, check_training, load_tuner, merge_tuners
from swift_core.jobs.writing import source_of

if TYPE_CHECKING:
    from swift_core.contract.job import Job, Selected


def load_model(job: Job, resume: str | None = None) -> tuple[Any, Any]:
    """(model, processor) of the job: resolved, loaded, quantized where asked, patched.

    resume: a checkpoint whose whole weights, where it holds any, stand in for the model's.
    """
    with waiting("loading the model"):
        model, processor = _loaded(job, resume)
    say_model(job, model)
    job.hook.patch_model(job=job, model=model)
    return model, processor


def _loaded(job: Job, resume: str | None) -> tuple[Any, Any]:
    whole = resume is not None and Path(resume, "config.json").is_file()
    source, revision = (resume, None) if whole else (job.options.model, job.options.model_revision)
    path = job.hook.resolve_checkpoint(job=job, model=source, revision=revision)
    config = job.hook.load_config(job=job, path=path)
    processor = load_processor(job, path, config)  # first: an unsound template must not cost the loading of a model
    quantization = job.hook.quantization_config(job=job, config=config)
    model = job.hook.load_model(job=job, path=path, config=config, quantization=quantization)
    return model, processor


def load_processor(job: Job, path: str, config: Any) -> Any:
    """The processor of the checkpoint in `path`, with the job's template settled against its own chat template."""
    from swift_core.templates.settle import settle

    processor = job.hook.load_processor(job=job, path=path, config=config)
    settle(job, processor, path)
    return processor


def load_adapters(job: Job, model: Any, trainable: bool = False) -> Any:
    """The model with the tuners of every `--adapters` folder added, under their labels."""
    for item in job.many("tuner"):
        if item.folder:
            refuse_shards(Path(item.folder))
            loaded = load_tuner(job, model, item, item.folder, trainable)
            model = model if loaded is None else loaded
    return model


def merge_adapters(job: Job, model: Any) -> Any:
    """The model with every loaded adapter folded into its weights."""
    return merge_tuners(job, model, [item for item in job.many("tuner") if item.folder])


def adapters_by_name(job: Job) -> dict[str, list[Selected]]:
    """The tuners of each `--adapters` folder by the adapter's name, in option order."""
    tuners: dict[str, list[Selected]] = {}
    for item in job.many("tuner"):
        if item.adapter:
            tuners.setdefault(item.adapter, []).append(item)
    return tuners


def attach_tuners(job: Job, model: Any, resume: str | None = None) -> Any:
    """The model with every tuner of the job, in option order: new, or as it was saved.

    resume: a checkpoint of this very run, whose tuners go on training. SwiftError where one of them would not train.
    """
    for item in job.many("tuner"):
        saved = _checkpoint_of(job, item, resume) or item.folder
        loaded = load_tuner(job, model, item, saved, trainable=True) if saved else None
        model = attach_tuner(job, model, item) if loaded is None else loaded
    check_training(job, model, job.many("tuner"))
    return model


def _checkpoint_of(job: Job, item: Any, resume: str | None) -> str | None:
    """Where the checkpoint has this tuner; a tuner that saves nothing of its own (full) finds nothing there."""
    if resume is None:
        return None
    return resume if len(job.many("tuner")) == 1 else str(Path(resume, item.label))


def without_quantizer(job: Job) -> Job:
    """The same job with a base model in its own precision."""
    options = dataclasses.replace(job.options, quantizer=None)
    return job.changed(options=options, selected=[c for c in job.selected if c.kind != "quantizer"])


def go_on_from(job: Job, folder: str) -> Job:
    """The same job with a plain checkpoint as its model and no adapters; itself if `folder` holds no model."""
    if not Path(folder, "config.json").is_file():
        return job
    source = job.options.ckpt_dir or str(source_of(job))
    options = dataclasses.replace(job.options, model=folder, adapters=[], ckpt_dir=source)
    return without_quantizer(job.changed(options=options, selected=[c for c in job.selected if c.folder is None]))
