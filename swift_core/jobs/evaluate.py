"""Evaluation: one engine, asked by every evaluator of the job; or the reports of earlier ones side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.evaluation.compared import compare
from swift_core.evaluation.reports import LateEngine
from swift_core.jobs.measuring import measure

if TYPE_CHECKING:
    from swift_core.contract.job import Job


def run(job: Job) -> dict[str, Any]:
    """Measure, as `measure` does; under `--compare`, as `compare` does, nothing is measured.

    The model is loaded once, or not at all: with `--eval_url` every evaluator asks that server.
    """
    if job.options.compare:
        return compare(job)
    engine = LateEngine(lambda: job.hook.start_engine(job=job))
    try:
        return measure(job, engine)
    finally:
        engine.close()
