"""The table of jobs: what `swift JOB` knows, and where each job's script and options stand."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from swift_core.contract.errors import SwiftError, did_you_mean


@dataclass(frozen=True)
class JobSpec:
    """One row of the table.

    name: the command. summary: one line of help. module: where `run(job)` stands. options: `module:class`.
    defaults: option values that differ from the class's own. needs: options without which the job cannot begin.
    """

    name: str
    summary: str
    module: str
    options: str
    defaults: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def options_class(self) -> type:
        """The dataclass of this job's own options."""
        module, _, name = self.options.partition(":")
        return getattr(importlib.import_module(module), name)

    def runner(self) -> Callable[[Any], Any]:
        """The function that does the work, given a prepared job."""
        run: Callable[[Any], Any] = importlib.import_module(self.module).run
        return run


_OPTIONS = "swift_core.jobs.options:"
_TRAIN = ("swift_core.jobs.train", _OPTIONS + "TrainOptions")
_DATA = ("dataset",)

_SPECS = (
    JobSpec(
        "pt", "Pre-train on plain text.", *_TRAIN, {"trainer": "pt", "template": "plain", "tuner": ["full"]}, _DATA
    ),
    JobSpec("sft", "Fine-tune on conversations.", *_TRAIN, {"trainer": "sft"}, _DATA),
    JobSpec("rlhf", "Align with preferences or rewards (--rlhf_type dpo, grpo …).", *_TRAIN, {"trainer": "dpo"}, _DATA),
    JobSpec("train", "Train with any installed trainer (--trainer NAME).", *_TRAIN, needs=_DATA),
    JobSpec(
        "infer",
        "Answer questions from a data set or at the terminal.",
        "swift_core.jobs.infer",
        _OPTIONS + "InferOptions",
    ),
    JobSpec(
        "deploy",
        "Serve the model with the OpenAI interface.",
        "swift_core.jobs.deploy",
        _OPTIONS + "DeployOptions",
        {"plain_user_text": True},
    ),
    JobSpec("eval", "Measure the model on data sets.", "swift_core.jobs.evaluate", _OPTIONS + "EvalOptions"),
    JobSpec("export", "Merge, quantize or convert a checkpoint.", "swift_core.jobs.export", _OPTIONS + "ExportOptions"),
    JobSpec(
        "merge-lora",
        "Merge an adapter into its base model.",
        "swift_core.jobs.export",
        _OPTIONS + "ExportOptions",
        {"exporter": ["merge-lora"]},
    ),
    JobSpec(
        "sample",
        "Draw answers, score them, keep the best.",
        "swift_core.jobs.sample",
        _OPTIONS + "SampleOptions",
        {"temperature": 1.0},
        _DATA,
    ),
)

JOBS = {spec.name: spec for spec in _SPECS}


def find_job(name: str) -> JobSpec:
    """The job called `name`; a SwiftError with the nearest name where there is none."""
    if name not in JOBS:
        raise SwiftError(f"There is no job {name!r}.{did_you_mean(name, JOBS)} Jobs: {', '.join(JOBS)}.")
    return JOBS[name]
