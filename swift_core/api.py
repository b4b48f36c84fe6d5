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
from swift_core.contract.tuning import tuning_of
from swift_core.job.job import PreparedJob
from swift_core.job.lockfile import saved_tuners
from swift_core.job.options import Given, build
from swift_core.job.prepare import prepare, refuse_unsupported
from swift_core.job.selected import Selected
from swift_core.job.specs import find_job
from swift_core.jobs.tuners import attach_tuner, check_training, load_tuner, merge_tuners, save_tuner


def run(job_name: str, **options: Any) -> Any:
    """Run a job as the command line would: `run("sft", model="…", dataset=["rows.jsonl"], lora_rank=8)`.

    Returns what the job returns; for training `{"output_dir", "checkpoint", "metrics", "trainer"}`.
    Raises SwiftError for every mistake in the options.
    """
    return prepare(job_name, [Given(k, v, "Python") for k, v in options.items()]).run()


def prepare_model(model: Any, tuners: dict[str, Any] | Any) -> Any:
    """`model` with tuners attached, ready to be trained by any loop; a name → tuner map composes several.

    tuners: tuner components (`Lora(lora_rank=8)`) or their names (`"lora"`), one or a map in order of
    attachment. The model may be any that the tuners know how to change, and may have tuners already. Raises
    SwiftError where two cannot be combined, and where one of them would not train.
    """
    named = tuners if isinstance(tuners, dict) else {"default": tuners}
    job, new = _joined(model, [_chosen(label, tuner) for label, tuner in named.items()])
    refuse_unsupported(job)
    for item in new:
        model = attach_tuner(job, model, item)
    check_training(job, model, new)
    tuning_of(model).job = job
    return model


def save_pretrained(model: Any, folder: str | Path) -> None:
    """Write the tuners of a model from `prepare_model`: one into `folder`, several into a subfolder each."""
    job = _job_of(model)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for item in job.selected:
        place = Path(folder) if len(job.selected) == 1 else Path(folder, item.label)
        save_tuner(job, model, item, str(place))
    job.write_lock(folder)


def from_pretrained(model: Any, folder: str | Path, trainable: bool = False) -> Any:
    """`model` with the tuners that were saved in `folder`, by us or by PEFT; it may have others already.

    They are called `default`, or `default_NAME` where the folder holds several; the next ones `default2`, and so on.
    Raises SwiftError where the folder holds none, or they do not fit the model.
    """
    chosen = saved_tuners(Catalogue.installed(), Path(folder), _free_name(model))
    for item in chosen:
        item.component = build(item.entry.load(), item.saved, item.entry.title)
    job, new = _joined(model, chosen)
    for item in new:
        loaded = load_tuner(job, model, item, str(item.folder), trainable)
        model = model if loaded is None else loaded
    if trainable:
        check_training(job, model, new)
    tuning_of(model).job = job
    return model


def merge(model: Any) -> Any:
    """The plain model with every tuner of `prepare_model` or `from_pretrained` folded into its weights."""
    job = _job_of(model)
    return merge_tuners(job, model, job.selected)


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


def _free_name(model: Any) -> str:
    """The first of `default`, `default2` … by which no tuner of the model is called."""
    job = tuning_of(model).job
    there = {item.label.partition("_")[0] for item in job.selected} if isinstance(job, PreparedJob) else set()
    names = ("default", *(f"default{n}" for n in range(2, len(there) + 3)))
    return next(name for name in names if name not in there)


def _joined(model: Any, new: list[Selected]) -> tuple[PreparedJob, list[Selected]]:
    """(a job of the model's tuners and the new ones, the new ones in order); SwiftError for a name that is taken."""
    job = tuning_of(model).job
    there = job.selected if isinstance(job, PreparedJob) else []
    taken = {item.label for item in there} & {item.label for item in new}
    if taken:
        raise SwiftError(
            f"The model has a tuner {min(taken)!r} already: give the new one another name, or merge first."
        )
    spec = find_job("sft")
    joined = PreparedJob(spec, spec.options_class()(), [*there, *new])
    return joined, [item for item in joined.selected if item in new]


def _job_of(model: Any) -> PreparedJob:
    job = tuning_of(model).job
    if not isinstance(job, PreparedJob):
        raise SwiftError("This model has no tuners of ours; prepare it with prepare_model or from_pretrained.")
    return job
