"""swift-core from Python: run a job, or use tuners on any model outside our training loop.

from swift_core import activate, deactivate, from_pretrained, prepare_model, save_pretrained
from swift_plugin_lora import Lora
from swift_plugin_llamapro import LlamaPro

model = prepare_model(model, {"first": Lora(lora_rank=8), "second": LlamaPro()})
...                                    # any loop, any trainer
deactivate(model, "first", offload="cpu")
save_pretrained(model, "checkpoint")
model = from_pretrained(base, "checkpoint")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swift_core.catalogue.entries import Catalogue, Entry
from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.job.job import PreparedJob
from swift_core.job.lockfile import saved_tuners
from swift_core.job.options import Given, build
from swift_core.job.prepare import prepare, refuse_unsupported
from swift_core.job.selected import Selected
from swift_core.job.specs import find_job


def run(job_name: str, **options: Any) -> Any:
    """Run a job as the command line would: `run("sft", model="…", dataset=["rows.jsonl"], lora_rank=8)`.

    Returns what the job returns; for training `{"output_dir", "checkpoint", "metrics", "trainer"}`.
    Raises SwiftError for every mistake in the options.
    """
    job = prepare(job_name, [Given(k, v, "Python") for k, v in options.items()])
    return job.spec.runner()(job)


def prepare_model(model: Any, tuners: dict[str, Any] | Any) -> Any:
    """`model` with tuners attached, ready to be trained by any loop; a name → tuner map composes several.

    tuners: tuner components (`Lora(lora_rank=8)`) or their names (`"lora"`), one or a map in order of
    attachment. The model may be any that the tuners know how to change. Raises SwiftError where two cannot
    be combined.
    """
    named = tuners if isinstance(tuners, dict) else {"default": tuners}
    job = _job([_chosen(label, tuner) for label, tuner in named.items()])
    refuse_unsupported(job)
    for item in job.selected:
        model = job.call(item, "attach_tuner", model=model, name=item.label)
    model.swift_job = job
    return model


def save_pretrained(model: Any, folder: str | Path) -> None:
    """Write the tuners of a model from `prepare_model`: one into `folder`, several into a subfolder each."""
    job = _job_of(model)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for item in job.selected:
        place = Path(folder) if len(job.selected) == 1 else Path(folder, item.label)
        job.call(item, "save_tuner", model=model, folder=str(place), name=item.label)
    job.write_lock(folder)


def from_pretrained(model: Any, folder: str | Path, trainable: bool = False) -> Any:
    """`model` with the tuners that were saved in `folder`, by us or by PEFT."""
    selected = saved_tuners(Catalogue.installed(), Path(folder), "default")
    for item in selected:
        item.component = build(item.entry.load(), item.saved, item.entry.title)
    job = _job(selected)
    for item in job.selected:
        arguments = {"folder": item.folder, "name": item.label, "trainable": trainable}
        model = job.call(item, "load_tuner", model=model, **arguments) or model
    model.swift_job = job
    return model


def merge(model: Any) -> Any:
    """The plain model with every tuner of `prepare_model` or `from_pretrained` folded into its weights."""
    job = _job_of(model)
    for item in reversed(job.selected):
        model = job.call(item, "merge_tuner", model=model, name=item.label) or model
    return model


def activate(model: Any, *names: str) -> None:
    """Let the tuners `names` of a prepared model take part again, their weights back where they were."""
    _switch(model, names, True, "none")


def deactivate(model: Any, *names: str, offload: str = "none") -> None:
    """Leave the tuners `names` out of the forward pass until `activate`.

    offload: where their weights wait: `none` (where they are), `cpu`, or `meta` (on disk, no memory). Raises
    SwiftError for a name that is not there, and for a tuner that cannot be left out.
    """
    _switch(model, names, False, offload)


def _switch(model: Any, names: tuple[str, ...], active: bool, offload: str) -> None:
    job = _job_of(model)
    there = {item.label: item for item in job.selected}
    for name in names:
        if name not in there:
            raise SwiftError(f"The model has no tuner {name!r}.{did_you_mean(name, there)} It has {', '.join(there)}.")
        arguments = {"name": name, "active": active, "offload": offload}
        if not job.call(there[name], "switch_tuner", model=model, **arguments):
            raise SwiftError(f"{there[name].entry.title} changed the model's own weights: it cannot be left out.")


def _chosen(label: str, tuner: Any) -> Selected:
    if isinstance(tuner, str):
        entry = Catalogue.installed().find("tuner", tuner)
        return Selected(entry, label, "Python", entry.load()())
    kind = type(tuner)
    for entry in Catalogue.installed().of_kind("tuner"):
        if entry.target == f"{kind.__module__}:{kind.__qualname__}":
            return Selected(entry, label, "Python", tuner)
    if not hasattr(tuner, "attach_tuner"):
        raise SwiftError(f"{label!r}: {tuner!r} is not a tuner; give a tuner component or its name.")
    entry = Entry("tuner", kind.__qualname__, "(not installed)", "0", "", f"{kind.__module__}:{kind.__qualname__}")
    return Selected(entry, label, "Python", tuner)


def _job(selected: list[Selected]) -> PreparedJob:
    spec = find_job("sft")
    return PreparedJob(spec, spec.options_class()(), selected)


def _job_of(model: Any) -> PreparedJob:
    job = getattr(model, "swift_job", None)
    if not isinstance(job, PreparedJob):
        raise SwiftError("This model has no tuners of ours; prepare it with prepare_model or from_pretrained.")
    return job
