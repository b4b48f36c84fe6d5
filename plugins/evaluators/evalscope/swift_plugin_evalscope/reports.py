"""EvalScope's reports as ours; metrics that it could not compute are taken out and named, not shown as 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_plugin_evalscope.files import Files

Json = dict[str, Any]


def read_reports(job: Job, folder: Path, files: Files) -> list[Json]:
    """One report per subset: metric names with their dimensions, as `rouge-l-f1`; `failed` says what is missing.

    Raises SwiftError where the folder holds no report.
    """
    paths = sorted(folder.glob("reports/*/*.json"))
    if not paths:
        raise SwiftError(f"EvalScope wrote no report into {folder}; see {folder / 'evalscope.log'}.")
    return [report for path in paths for report in _of_benchmark(job, path, folder, files)]


def _of_benchmark(job: Job, path: Path, folder: Path, files: Files) -> list[Json]:
    whole = json.loads(path.read_text(encoding="utf-8"))
    benchmark = path.stem
    by_subset: dict[str, Json] = {}
    for metric in whole["metrics"]:
        for subset in (s for c in metric["categories"] for s in c["subsets"] if not s["is_aggregate"]):
            report = by_subset.setdefault(subset["name"], {"metrics": {}, "rows": subset["num"]})
            report["metrics"][metric_name(metric["identity"])] = subset["score"]
    return [_report(job, benchmark, subset, r, folder, files) for subset, r in by_subset.items()]


def metric_name(identity: Json) -> str:
    """`rouge-l-f1`, `bleu-4`, `accuracy`: the metric with what tells it from its brothers."""
    apart = identity.get("dimensions") or {}
    order = sorted(apart, key=lambda name: (name == "statistic", name))
    return "-".join([identity["name"], *(str(apart[name]) for name in order)])


def _report(job: Job, benchmark: str, subset: str, report: Json, folder: Path, files: Files) -> Json:
    own = files.subsets.get(benchmark, {}).get(subset)
    rows = next(folder.glob(f"reviews/*/{benchmark}_{subset}.jsonl"), folder / "reviews")
    failed = failures(rows)
    metrics = {m: v for m, v in report["metrics"].items() if m.partition("-")[0] not in failed}
    name = own or (benchmark if subset == "default" else f"{benchmark}/{subset}")
    for metric, why in failed.items():
        job.say(f"{name}: EvalScope could not compute {metric} and would count it as 0: {why} It is left out.")
    return {"name": name, "metrics": metrics, "rows": report["rows"], "file": str(rows), "failed": failed}


def failures(reviews: Path) -> dict[str, str]:
    """Metrics that failed on some row → the first error in one line. EvalScope itself scores such rows 0."""
    failed: dict[str, str] = {}
    if reviews.is_file():
        for line in reviews.read_text(encoding="utf-8").splitlines():
            errors = json.loads(line)["sample_score"]["score"].get("metadata", {}).get("metric_errors", {})
            for metric, why in errors.items():
                words = " ".join(why.replace("*", " ").split())
                failed.setdefault(metric.lower(), words[:160] + ("…" if len(words) > 160 else ""))
    return failed
