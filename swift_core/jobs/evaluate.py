"""Evaluation: one engine, asked by every evaluator of the job; a table and a report at the end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import SwiftError
from swift_core.evaluation.reports import LateEngine
from swift_core.version import __version__

if TYPE_CHECKING:
    from swift_core.contract.job import Job

REPORT = "report.json"


def run(job: Job) -> dict[str, Any]:
    """Measure; returns what stands in `output_dir/report.json`, with its path as `file`.

    The model is loaded once, or not at all: with `--eval_url` every evaluator asks that server.
    """
    _check(job)
    _place_output(job)
    engine = LateEngine(lambda: job.hook.start_engine(job=job))
    try:
        reports = [r for item in job.many("evaluator") for r in _ask(job, item, engine)]
    finally:
        engine.close()
    show(reports)
    return _write(job, reports)


def _check(job: Job) -> None:
    options = job.options
    if not (options.eval_dataset or options.dataset or options.val_dataset or options.custom_eval_config):
        raise SwiftError("Measure on what? Say --eval_dataset with files or names, or --custom_eval_config FILE.json.")
    if not job.many("evaluator"):
        raise SwiftError("Measure how? Say --evaluator NAME; swift list evaluators shows them.")


def _place_output(job: Job) -> None:
    options = job.options
    if options.output_dir is None:
        name = Path(options.model or options.eval_model or "server").name.lower()
        options.output_dir = f"output/{name}-eval-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path(options.output_dir)
    if folder.exists() and not folder.is_dir():
        raise SwiftError(f"--output_dir {folder} is a file, not a folder.")
    folder.mkdir(parents=True, exist_ok=True)


def _ask(job: Job, item: Any, engine: Any) -> list[dict[str, Any]]:
    reports = job.call(item, "evaluate", engine=engine) or []
    return [{"evaluator": item.label, **report} for report in reports]


def show(reports: list[dict[str, Any]]) -> None:
    """Print the reports as a table: shares in percent, metrics that a report lists as `numbers` as they are."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("evaluator", "data set", "metric"):
        table.add_column(heading, no_wrap=True)
    table.add_column("value", justify="right")
    table.add_column("rows", justify="right")
    for report in reports:
        for name, value in report["metrics"].items():
            shown = f"{value:.4g}" if name in report.get("numbers", ()) else percent(value)
            table.add_row(report["evaluator"], report["name"], name, shown, str(report["rows"]))
    console = Console(markup=False, soft_wrap=True)
    console.print(table)
    for report in reports:
        console.print(f"{report['name']}: {report['file']}")


def percent(value: float | None) -> str:
    """A share as percent; a dash for a metric that no row of the data set has."""
    return "-" if value is None else f"{value:.2%}"


def _write(job: Job, reports: list[dict[str, Any]]) -> dict[str, Any]:
    options = job.options
    file = Path(options.output_dir, REPORT)
    whole = {
        "swift_core": __version__,
        "model": options.model,
        "adapters": options.adapters,
        "eval_url": options.eval_url,
        "reports": reports,
    }
    file.write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    job.write_lock(options.output_dir)
    job.say(f"The report is in {file}.")
    return {**whole, "file": str(file)}
