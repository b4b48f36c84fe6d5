"""Export: merge, convert or quantize a checkpoint; each step goes on from where the one before ended."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.capability import Unsupported
from swift_core.contract.components import Quantizer, declared
from swift_core.contract.errors import SwiftError
from swift_core.contract.signatures import implementations
from swift_core.data.load import load_all
from swift_core.job.lockfile import LOCK_FILE
from swift_core.jobs.steps import go_on_from, without_quantizer
from swift_core.jobs.writing import WRITTEN, source_of, writing

if TYPE_CHECKING:
    from swift_core.contract.job import Job


def run(job: Job) -> dict[str, Any]:
    """Run every exporter in order, then the quantizer, then the upload; returns `{"folders": {name: folder}}`.

    `--quantizer` of `swift export` is work to do. A quantizer that a training run left in its lock, or that a
    quantized checkpoint names in its config.json, only says how the base model is loaded.
    Raises SwiftError where there is nothing to run or to upload, and for --push_to_hub without --hub_model_id.
    """
    step, offline = _split_quantizer(job)
    if offline:
        check_writes(offline)
    if job.options.push_to_hub and not job.options.hub_model_id:
        raise SwiftError("--push_to_hub uploads to a repository: say --hub_model_id owner/name.")
    if not (job.many("exporter") or offline or job.options.push_to_hub):
        names = ", ".join(e.name for e in Catalogue.installed().of_kind("exporter"))
        raise SwiftError(
            f"What shall be written? Say --exporter with one of: {names}; or --quantizer NAME; or upload the "
            "checkpoint as it is: --push_to_hub true."
        )
    several = len(job.many("exporter")) + bool(offline) > 1
    folders: dict[str, str] = job.memo.setdefault(WRITTEN, {})
    for item in job.many("exporter"):
        folders[item.label] = _placed(step, item.label, several).call(item, "export_model")
        step = go_on_from(step, folders[item.label])
    if offline:
        folders[offline.label] = _quantize(_placed(step, offline.label, several), offline)
    lines = dict(folders)
    if job.options.push_to_hub:
        lines["uploaded to"] = _upload(job, list(folders.values()))
    job.say("Done.\n" + "\n".join(f"  {name}: {place}" for name, place in lines.items()))
    return {"folders": folders}


def _upload(job: Job, folders: list[str]) -> str:
    """Upload the last of the written folders, or the checkpoint where there is none; returns the address."""
    folder = Path(folders[-1]) if folders else source_of(job)
    if not folder.is_dir():
        raise SwiftError(f"{folder} is no folder on this disk that could be uploaded; say --ckpt_dir FOLDER.")
    job.say(f"Uploading {folder} to {job.options.hub_model_id} …")
    address: str | None = job.hook.upload_folder(job=job, folder=str(folder))
    if address is None:
        raise SwiftError(f"The loader {job.options.loader!r} uploads nothing; {folder} is whole, upload it by hand.")
    return address


def _split_quantizer(job: Job) -> tuple[Job, Any]:
    """(the job for the exporters, the quantizer that is to run offline or None)."""
    quantizers = job.many("quantizer")
    from_checkpoint = job.sources.get("quantizer", "").endswith((LOCK_FILE, "config.json"))
    asked = job.spec.name == "export" and not from_checkpoint
    if not (quantizers and asked):
        return job, None
    return without_quantizer(job), quantizers[0]


def check_writes(quantizer: Any) -> None:
    """Raises SwiftError, before rows are asked for or a model is read, for a quantizer that writes no checkpoint."""
    if "quantize_model" in implementations(quantizer.component):
        return
    stage = declared(quantizer.component, Quantizer, "stages").get("PTQ")
    reason = f" ({stage.reason.rstrip('.')})" if isinstance(stage, Unsupported) else ""
    raise SwiftError(
        f"{quantizer.entry.title} quantizes only while a model loads, not into a checkpoint{reason}. Say --quantizer "
        f"{quantizer.entry.name} when you train, ask or serve the model."
    )


def _placed(job: Job, label: str, several: bool) -> Job:
    """The job writing into a subfolder of --output_dir where several exports would share it."""
    if not (several and job.options.output_dir):
        return job
    return job.changed(options=dataclasses.replace(job.options, output_dir=str(Path(job.options.output_dir, label))))


def _quantize(job: Job, quantizer: Any) -> str:
    """The job's checkpoint, quantized offline with the rows of --dataset."""
    if any(c.folder for c in job.many("tuner")):
        raise SwiftError("Adapters cannot be quantized apart from their base; merge them first: --merge_lora true.")
    if job.options.dataset:
        rows = load_all(job, job.options.dataset, need_answer=False)
    elif declared(quantizer.component, Quantizer, "needs_rows"):
        raise SwiftError(f"{quantizer.entry.title} calibrates on rows: say --dataset with a few hundred of them.")
    else:
        rows = []
    path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=job.options.model_revision)
    job = job.changed(selected=[*job.selected, quantizer])
    with writing(job, quantizer.entry.name) as place:
        job.call(quantizer, "quantize_model", path=path, rows=rows, folder=str(place.staging))
        job.write_lock(place.staging)
    return str(place.final)
