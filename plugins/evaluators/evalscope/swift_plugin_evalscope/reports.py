"""EvalScope's reports as ours; metrics that it could not compute are taken out and named, not shown as 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.evaluation.programs import last_words

Json = dict[str, Any]


def read_report(job: Job, name: str, benchmark: str, folder: Path, log: Path) -> Json:
    """The report of a data set: metric names with their dimensions, as `rouge-l-f1`, the primary one first.

    name: ours, of what EvalScope measured as `benchmark`. Several subsets stand in `subsets`; `failed` says what is
    missing. Raises SwiftError where EvalScope wrote no report, or where rows failed.
    """
    file = next(folder.glob(f"reports/*/{benchmark}.json"), None)
    if file is None:
        raise SwiftError(f"EvalScope wrote no report of {name}: {last_words(log)} Its log is {log}.")
    whole = json.loads(file.read_text(encoding="utf-8"))
    _refuse_errors(name, whole, log)
    reviews = sorted(folder.glob(f"reviews/*/{benchmark}_*.jsonl"))
    failed = dict(pair for path in reviews for pair in failures(path).items())
    for metric, why in failed.items():
        job.say(f"{name}: EvalScope could not compute {metric} and would count it as 0: {why} It is left out.")
    primary = whole.get("primary_metric_identity")
    ordered = sorted(whole["metrics"], key=lambda metric: metric["identity"] != primary)
    kept = {label: m for m in ordered if (label := metric_name(m["identity"])).partition("-")[0] not in failed}
    subsets = _subsets(kept)
    report = {
        "name": name,
        "metrics": {label: metric["score"] for label, metric in kept.items()},
        "rows": max((metric["num"] for metric in whole["metrics"]), default=0),
        "file": str(reviews[0] if len(reviews) == 1 else folder / "reviews"),
        "failed": failed,
    }
    return {**report, "subsets": subsets} if len(subsets) > 1 else report


def _refuse_errors(name: str, whole: Json, log: Path) -> None:
    done = whole.get("execution_summary") or {}
    if done.get("errored"):
        raise SwiftError(
            f"EvalScope could not ask {done['errored']} of {done['requested']} rows of {name}. Its log is {log}."
        )


def _subsets(metrics: Json) -> Json:
    """Subset → its metrics and rows; totals that EvalScope lists among the subsets are left out."""
    found: Json = {}
    for label, metric in metrics.items():
        for subset in (s for c in metric["categories"] for s in c["subsets"] if not s["is_aggregate"]):
            report = found.setdefault(subset["name"], {"metrics": {}, "rows": subset["num"]})
            report["metrics"][label] = subset["score"]
    return found


def metric_name(identity: Json) -> str:
    """`rouge-l-f1`, `bleu-4`, `accuracy`: the metric with what tells it from its brothers."""
    apart = identity.get("dimensions") or {}
    order = sorted(apart, key=lambda name: (name == "statistic", name))
    return "-".join([identity["name"], *(str(apart[name]) for name in order)])


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
