"""A job's model without its weights: every tensor has a shape and a type, and no memory behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.jobs.steps import attach_tuners
from swift_plugin_runtime.loading import heads
from swift_plugin_runtime.loading.loader import dtype_of, model_class


def config_folder(job: Job) -> str:
    """The folder with the config.json of the job's model; of a hub's model, that file alone is fetched.

    Raises SwiftError where there is none.
    """
    o = job.options
    if o.model and Path(o.model, "config.json").is_file():
        return str(o.model)
    fetch = getattr(job.one("loader"), "fetch_config", None)
    point = job.card.find(o.model) if o.model else None
    folder = fetch(point.id_on(o.use_hf) if point else o.model, o.model_revision, o.use_hf) if fetch else None
    if folder is None:
        raise SwiftError(f"swift plan reads config.json, and {o.model!r} has none here; give a folder that holds it.")
    return str(folder)


def shape_of(job: Job, config: Any) -> Any:
    """The model on torch's meta device, with the job's new tuners attached.

    Raises SwiftError for a tuner that begins with numbers of the weights.
    """
    with torch.device("meta"):
        model = untuned(job, config)
        tuners = job.many("tuner") if hasattr(job.options, "tuner") else []
        try:
            return attach_tuners(job, model) if tuners else model
        except (NotImplementedError, RuntimeError, ValueError) as error:
            names = ", ".join(item.entry.name for item in tuners)
            reason = str(error).strip().splitlines()[0][:120]
            raise SwiftError(
                f"swift plan reads no weights, and --tuner {names} begins with their numbers ({reason}). Plan with "
                "--tuner lora of the same rank: it trains as many."
            ) from None


def untuned(job: Job, config: Any) -> Any:
    """The model of a config in the type that the job asks for, else the checkpoint's; built where torch builds."""
    asked = dtype_of(job.options.torch_dtype)
    dtype = (getattr(config, "dtype", None) or torch.float32) if asked == "auto" else asked
    kind = model_class(config, heads.task_of(job))
    build = kind.from_config if hasattr(kind, "from_config") else kind._from_config
    return build(config, dtype=dtype)
