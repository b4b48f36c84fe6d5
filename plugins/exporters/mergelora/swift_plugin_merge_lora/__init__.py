"""Merge adapters into their base model: what is left is a plain checkpoint that needs no tuner to load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, hookimpl
from swift_core.contract.components import Exporter
from swift_core.contract.job import Job
from swift_core.jobs.steps import load_adapters, load_model, merge_adapters, without_quantizer
from swift_core.jobs.writing import writing


@dataclass(kw_only=True, eq=False)
class MergeLora(Exporter):
    """Folds every tuner of --adapters or --ckpt_dir into the base model and saves a plain checkpoint."""

    swift_api = 1

    @hookimpl
    def export_model(self, job: Job) -> str:
        if not any(c.folder for c in job.many("tuner")):
            raise SwiftError("There is no adapter to merge. Say --adapters FOLDER, or --ckpt_dir with a checkpoint.")
        with writing(job, "merged") as place:
            model, processor = load_model(job)
            model = merge_adapters(job, load_adapters(job, _plain(job, model)))
            job.hook.save_model(job=job, model=model, processor=processor, folder=str(place.staging))
            without_quantizer(job).write_lock(place.staging)
        return str(place.final)


def _plain(job: Job, model: Any) -> Any:
    """A quantized base with its weights as the adapter saw them in training, in the model's own precision.

    Merging into the few-bit weights would round the adapter away. A quantizer that put layers of its own into the model
    left a `dequantize` on it.
    """
    if "dequantize" in vars(model):
        return model.dequantize()
    if not (job.many("quantizer") or getattr(model, "is_quantized", False)):
        return model
    try:
        return model.dequantize()
    except (NotImplementedError, ValueError, AttributeError) as error:
        raise SwiftError(
            f"The quantized weights of the base model cannot be turned back ({error}). Merge into the model that was "
            "quantized: --model ITS_ID --quantizer none."
        ) from error
