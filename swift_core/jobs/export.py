"""Export: merge, convert or quantize a checkpoint; each step goes on from where the one before ended."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.catalogue import Catalogue
from swift_core.data.load import load_all
from swift_core.errors import SwiftError
from swift_core.jobs import JOBS
from swift_core.models.index import LOCK_FILE, read_json

if TYPE_CHECKING:
    from swift_core.job import Job


def run(job: Job) -> dict[str, Any]:
    """Run every exporter in order, then the quantizer; returns `{"folders": {name: folder}}`.

    `--quantizer` of `swift export` is work to do. A quantizer that a training run left in its lock, or that a
    quantized checkpoint names in its config.json, only says how the base model is loaded.
    """
    step, offline = _split_quantizer(job)
    if not (job.many("exporter") or offline):
        names = ", ".join(e.name for e in Catalogue.installed().of_kind("exporter"))
        raise SwiftError(f"What shall be written? Say --exporter with one of: {names}; or --quantizer NAME.")
    several = len(job.many("exporter")) + bool(offline) > 1
    folders: dict[str, str] = {}
    for item in job.many("exporter"):
        folders[item.label] = _placed(step, item.label, several).call(item, "export_model")
        step = go_on_from(step, folders[item.label])
    if offline:
        folders[offline.label] = _quantize(_placed(step, offline.label, several), offline)
    job.say("Done.\n" + "\n".join(f"  {name}: {folder}" for name, folder in folders.items()))
    return {"folders": folders}


def _split_quantizer(job: Job) -> tuple[Job, Any]:
    """(the job for the exporters, the quantizer that is to run offline or None)."""
    found = job.many("quantizer")
    found_there = job.sources.get("quantizer", "").endswith((LOCK_FILE, "config.json"))
    asked = job.spec.name == "export" and not found_there
    if not (found and asked):
        return job, None
    return without_quantizer(job), found[0]


def without_quantizer(job: Job) -> Job:
    """The same job with a base model in its own precision."""
    options = dataclasses.replace(job.options, quantizer=None)
    return _changed(job, options, [c for c in job.chosen if c.kind != "quantizer"])


def _placed(job: Job, label: str, several: bool) -> Job:
    """The job writing into a subfolder of --output_dir where several exports would share it."""
    if not (several and job.options.output_dir):
        return job
    return _changed(job, dataclasses.replace(job.options, output_dir=str(Path(job.options.output_dir, label))))


def go_on_from(job: Job, folder: str) -> Job:
    """The same job with a plain checkpoint as its model and no adapters; itself if `folder` holds no model."""
    if not Path(folder, "config.json").is_file():
        return job
    source = job.options.ckpt_dir or str(source_of(job))
    options = dataclasses.replace(job.options, model=folder, adapters=[], ckpt_dir=source)
    return without_quantizer(_changed(job, options, [c for c in job.chosen if c.folder is None]))


def _changed(job: Job, options: Any, chosen: list[Any] | None = None) -> Job:
    return dataclasses.replace(job, options=options, chosen=job.chosen if chosen is None else chosen)


def _quantize(job: Job, quantizer: Any) -> str:
    """The job's checkpoint, quantized offline with the rows of --dataset."""
    if any(c.folder for c in job.many("tuner")):
        raise SwiftError("Adapters cannot be quantized apart from their base; merge them first: --merge_lora true.")
    if job.options.dataset:
        rows = load_all(job, job.options.dataset, need_answer=False)
    elif getattr(quantizer.component, "needs_rows", True):
        raise SwiftError(f"{quantizer.entry.title} calibrates on rows: say --dataset with a few hundred of them.")
    else:
        rows = []
    path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=job.options.model_revision)
    job = _changed(job, job.options, [*job.chosen, quantizer])
    with writing(job, quantizer.entry.name) as place:
        if job.call(quantizer, "quantize_model", path=path, rows=rows, folder=str(place.staging)) is None:
            raise SwiftError(f"{quantizer.entry.title} quantizes only while a model loads, not into a checkpoint.")
        job.write_lock(place.staging)
    return str(place.final)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an export is written. staging: the folder to fill. final: where it stands when it is whole."""

    staging: Path
    final: Path


@contextmanager
def writing(job: Job, suffix: str) -> Iterator[Place]:
    """A folder to write an export into, renamed into place when the block ends; a failure leaves nothing.

    suffix: `merged` in the default name `<checkpoint>-merged`. Raises SwiftError where the place is taken.
    """
    final = destination(job, suffix)
    _refuse_taken(final, job.options.exist_ok)
    staging = final.with_name(f".{final.name}.writing")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        yield Place(staging, final)
        _replace(staging, final)
    except Exception as error:
        if _is_of_the_disk(error):
            raise SwiftError(f"{final} could not be written: {error}. Nothing was left there.") from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def destination(job: Job, suffix: str) -> Path:
    """--output_dir, else `<checkpoint>-suffix` beside the checkpoint."""
    if job.options.output_dir:
        return Path(job.options.output_dir)
    source = source_of(job)
    return source.with_name(f"{source.name}-{suffix}")


def source_of(job: Job) -> Path:
    """The folder that is exported: checkpoint, adapter or model; of a hub id, its last part in this folder."""
    adapter = next((c.folder for c in job.many("tuner") if c.folder), None)
    found = Path(job.options.ckpt_dir or adapter or job.options.model)
    return found.resolve() if found.exists() else Path(found.name)


def _refuse_taken(final: Path, exist_ok: bool) -> None:
    """Only an earlier export may be replaced: --exist_ok must not cost anyone a training run."""
    if not final.exists() or (final.is_dir() and not any(final.iterdir())):
        return
    if not exist_ok:
        raise SwiftError(f"{final} is there already. Choose another --output_dir, or replace it: --exist_ok true.")
    made_by = read_json(final / LOCK_FILE).get("job")
    if made_by not in [name for name, spec in JOBS.items() if spec.module == __name__]:
        raise SwiftError(f"{final} is not an earlier export, so --exist_ok does not replace it. Choose another place.")


def _is_of_the_disk(error: Exception) -> bool:
    """Whether writing failed, and not the work; safetensors reports the system's errors by their text."""
    number = getattr(error, "errno", None)
    return number not in (None, errno.ENOENT) or "(os error" in str(error)


def _replace(staging: Path, final: Path) -> None:
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        os.replace(final, old)
    os.replace(staging, final)
    shutil.rmtree(old, ignore_errors=True)
