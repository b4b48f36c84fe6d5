"""What evaluators share beside their data sets: asking the engine, and writing what came back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track

from swift_core.contract.engine import Engine, Reply, Request
from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.inference.conversation import answers, ask, first_adapter

if TYPE_CHECKING:
    from swift_core.contract.job import Job


class LateEngine:
    """An engine that starts when it is first used, so that bad data is found before a model is loaded."""

    def __init__(self, start: Callable[[], Engine]):
        self._start = start
        self._engine: Engine | None = None

    def __getattr__(self, name: str) -> Any:
        if self._engine is None:
            self._engine = self._start()
        return getattr(self._engine, name)

    def close(self) -> None:
        """Close the engine if it was ever started."""
        if self._engine is not None:
            self._engine.close()


def answer_all(
    job: Job, engine: Engine, rows: list[Row], what: str, whole: bool = False
) -> tuple[list[Request], list[Reply]]:
    """What was asked for each row, and what came back, in order; the last assistant turn of a row is left out.

    The first adapter answers where there is one. what: the data set's name, for the progress bar. whole: leave
    the last turn in, for an engine that scores answers. Raises SwiftError where there are no rows.
    """
    if not rows:
        raise SwiftError(f"{what}: no rows are left to measure on.")
    adapter, options = first_adapter(engine), job.options
    requests = [
        ask(row.with_system(options.system), options, adapter, options.seed + n, whole) for n, row in enumerate(rows)
    ]
    few = len(requests) <= options.max_batch_size
    replies = answers(engine, requests, options.max_batch_size)
    return requests, list(track(replies, what, len(requests), console=Console(stderr=True), disable=few))


def write_results(job: Job, evaluator: str, name: str, rows: Iterable[dict[str, Any]]) -> str:
    """Per-row results as JSONL under the output folder; returns the path."""
    path = Path(job.options.output_dir, evaluator, f"{name}.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False, default=str) + "\n" for r in rows), encoding="utf-8")
    return str(path)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are there; None where there are none."""
    there = [v for v in values if v is not None]
    return sum(there) / len(there) if there else None


def show(reports: list[dict[str, Any]]) -> None:
    """Print the reports as a table: shares in percent, metrics that a report lists as `numbers` as they are."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("evaluator", "data set", "metric"):
        table.add_column(heading, no_wrap=True)
    table.add_column("value", justify="right")
    table.add_column("rows", justify="right")
    for report in reports:
        for name, value in report["metrics"].items():
            table.add_row(report["evaluator"], report["name"], name, shown(report, name, value), str(report["rows"]))
    console = Console(markup=False, soft_wrap=True)
    console.print(table)
    for report in reports:
        if report.get("subsets"):
            console.print(f"{report['name']}: the mean of {len(report['subsets'])} parts, each of them in the report")
        console.print(f"{report['name']}: {report['file']}")


def shown(report: dict[str, Any], metric: str, value: float | None) -> str:
    """A share as percent, another number as it is; a dash for a metric that no row of the data set has."""
    if value is None:
        return "-"
    return f"{value:.4g}" if metric in report.get("numbers", ()) else f"{value:.2%}"
