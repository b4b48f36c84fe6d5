"""VLMEvalKit's scores as one report; a data set without a score is an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.evaluation.programs import last_words

Json = dict[str, Any]

SPLIT = "split"
"""The column of a table of accuracies that tells its rows apart; such a table holds shares."""


def read_results(job: Job, name: str, folder: Path, log: Path) -> Json:
    """The report of one data set, of what stands in `found.json`: rows, rows without an answer, tables of scores.

    Raises SwiftError where no row was answered, or where there is no score.
    """
    found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    rows, failed = found["rows"], found["failed"]
    if rows and failed == rows:
        raise SwiftError(f"VLMEvalKit got no answer to any of the {rows} rows of {name}. Its log is {log}.")
    metrics = dict(metric for table in found["scores"].values() for metric in flat(table))
    if not metrics:
        raise SwiftError(f"VLMEvalKit could not measure {name}: {_failure(log)} Its log is {log}.")
    if failed:
        job.say(f"{name}: {failed} of {rows} rows had no answer, or an empty one; VLMEvalKit counts them as wrong.")
    shares = {metric for table in found["scores"].values() if is_shares(table) for metric, _ in flat(table)}
    return {
        "name": name,
        "metrics": metrics,
        "rows": rows,
        "file": str(folder / "runs" / "served"),
        "numbers": [metric for metric in metrics if metric not in shares],
        "failed": failed,
    }


def is_shares(table: Any) -> bool:
    """Whether a table holds accuracies as 0 … 1: those of multiple choice do, others are in percent or no shares."""
    return isinstance(table, list) and all(SPLIT in row and 0 <= row.get("Overall", 2) <= 1 for row in table)


def flat(table: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a table, named by where it stands: column, or ROW/COLUMN where there are several rows."""
    if isinstance(table, list) and all(isinstance(row, dict) for row in table):
        for number, row in enumerate(table):
            label = next((str(value) for value in row.values() if isinstance(value, str)), str(number))
            yield from flat(row, f"{prefix}{label}/" if len(table) > 1 else prefix)
    elif isinstance(table, list):
        for number, value in enumerate(table, 1):
            yield from flat(value, f"{prefix.rstrip('/')}-{number}/")
    elif isinstance(table, dict):
        for key, value in table.items():
            yield from flat(value, f"{prefix}{key}/")
    elif isinstance(table, int | float) and not isinstance(table, bool) and table == table:
        yield prefix.rstrip("/"), float(table)


def _failure(log: Path) -> str:
    """The line of the log that says that a data set failed, else its last words."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in lines if "combination failed" in line or "is not valid, will be skipped" in line]
    return " ".join(told[-1].split())[-600:] if told else last_words(log)
