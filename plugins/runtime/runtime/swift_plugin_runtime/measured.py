"""The evaluation of a model under training as a job of its own, and what is refused about it. No torch here."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.contract.errors import did_you_mean
from swift_core.contract.job import Job
from swift_core.evaluation.sets import eval_sets
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.measuring import check_data


def evaluation_job(job: Job, o: Any, folder: str | Path) -> Job:
    """The `swift eval` job of a training job's benchmarks, with its reports in `folder`; it loads no model.

    o: the training job's `TrainingOptions`. Raises SwiftErrors for names that nobody knows and options that are none.
    """
    wider = job.options
    said = {
        "eval_dataset": o.eval_benchmarks,
        "eval_limit": o.eval_benchmark_limit,
        "output_dir": str(folder),
        "loader": "",
        "seed": wider.seed,
        "use_hf": wider.use_hf,
        **o.eval_benchmark_args,
    }
    given = [Given(key, value, "--eval_benchmarks") for key, value in said.items() if value is not None]
    asked = prepare("eval", given)
    if "system" not in asked.sources:
        asked.options.system = wider.system  # its text, which here names no file
    return asked


def check_benchmarks(job: Job, o: Any) -> None:
    """Refuse before the model is loaded: unknown names, bad rows, a metric that no benchmark gives.

    o: as above. Raises SwiftError.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked = evaluation_job(job, o, folder)
        check_data(asked)
    metric, names = o.metric_for_best_model, [eval_set.name for eval_set in eval_sets(asked)]
    if metric not in (None, "loss") and not any(metric == name or metric.startswith(f"{name}/") for name in names):
        raise SwiftError(
            f"--metric_for_best_model {metric}: none of the benchmarks is called that.{did_you_mean(metric, names)} "
            f"Say loss, or NAME or NAME/METRIC of {', '.join(names)}."
        )
