"""OpenCompass's results as one report; a task that failed is an error."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.evaluation.programs import last_words
from swift_core.evaluation.reports import mean

Json = dict[str, Any]

PERCENT = {
    "accuracy", "score", "auc_score", "exact_match", "f1", "matthews_correlation", "rouge1", "rouge2", "rougeL",
    "rougeLsum", "humaneval_pass@1",
}  # fmt: skip
"""Metrics that OpenCompass gives in percent. Others are numbers, such as how many programs ran too long."""


def read_results(name: str, folder: Path, log: Path) -> Json:
    """The report of one benchmark: the mean of its parts (subjects, tasks), and each part.

    Raises SwiftError where OpenCompass wrote no table, or a dash for a part: with the last words of that task's log.
    """
    table = next(folder.glob("runs/*/summary/*.csv"), None)
    if table is None:
        raise SwiftError(f"OpenCompass wrote no table for {name}: {last_words(log)} Its log is {log}.")
    run = table.parent.parent
    with table.open(encoding="utf-8", newline="") as stream:
        _, *lines = csv.reader(stream)
    failed = [line[0] for line in lines if "-" in (line[2], line[4])]
    if failed or not lines:
        raise SwiftError(_why(name, run, failed, log))
    metrics: dict[str, list[str]] = {}
    for part, _, metric, *_ in lines:
        metrics.setdefault(part, []).append(metric)
    parts = {part: _part(run, part, told) for part, told in metrics.items()}
    shared = [m for m in next(iter(parts.values()))["metrics"] if all(m in p["metrics"] for p in parts.values())]
    report = {
        "name": name,
        "metrics": {metric: mean(p["metrics"][metric] for p in parts.values()) for metric in shared},
        "rows": sum(p["rows"] for p in parts.values()),
        "file": str(run / "predictions"),
        "numbers": [metric for metric in shared if metric not in PERCENT],
    }
    return {**report, "subsets": parts} if len(parts) > 1 else report


def _part(run: Path, part: str, metrics: list[str]) -> Json:
    """Metrics, as OpenCompass orders them, and number of rows of one part; shares as 0 … 1."""
    given = json.loads(next(run.glob(f"results/*/{part}.json")).read_text(encoding="utf-8"))
    rows = json.loads(next(run.glob(f"predictions/*/{part}.json")).read_text(encoding="utf-8"))
    return {"metrics": {m: given[m] / 100 if m in PERCENT else given[m] for m in metrics}, "rows": len(rows)}


def _why(name: str, run: Path, failed: list[str], log: Path) -> str:
    logs = [file for part in failed for file in sorted(run.glob(f"logs/*/*/{part}.out"))]
    errors = [run.glob(f"results/*/{part}.json") for part in failed]
    said = [str(json.loads(file.read_text(encoding="utf-8")).get("error", "")) for files in errors for file in files]
    words = next(filter(None, [*said, *(last_words(file) for file in logs)]), last_words(log))
    return (
        f"OpenCompass could not measure {', '.join(failed) or name}: {words} Its logs are in {run / 'logs'}, the first "
        f"is {logs[0] if logs else log}."
    )
