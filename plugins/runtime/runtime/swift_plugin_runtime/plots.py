"""Curves of a run's log as one PNG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SKIPPED = {
    "step",
    "epoch",
    "seconds",
    "total_flos",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
    "eval_runtime",
    "eval_samples_per_second",
    "eval_steps_per_second",
}


def plot_log(log: Path, picture: Path) -> Path | None:
    """One small plot per logged metric over optimizer steps; None where there is nothing to draw."""
    series = read_series(log)
    if not series:
        return None
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = min(3, len(series))
    rows = -(-len(series) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4.5 * columns, 3 * rows), squeeze=False)
    for axis, (name, points) in zip(axes.flat, series.items(), strict=False):
        axis.plot([p[0] for p in points], [p[1] for p in points], marker="." if len(points) < 30 else None)
        axis.set(title=name, xlabel="step")
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(series) :]:
        axis.remove()
    figure.tight_layout()
    figure.savefig(picture, dpi=120)
    pyplot.close(figure)
    return picture


def read_series(log: Path) -> dict[str, list[tuple[int, float]]]:
    """Metric → (step, value) pairs, for metrics logged more than once. A resumed run's later line wins."""
    found: dict[str, dict[int, float]] = {}
    if not log.is_file():
        return {}
    for text in log.read_text(encoding="utf-8").splitlines():
        line: dict[str, Any] = json.loads(text)
        for name, value in line.items():
            if name not in SKIPPED and isinstance(value, int | float):
                found.setdefault(name, {})[line["step"]] = float(value)
    return {name: sorted(points.items()) for name, points in found.items() if len(points) > 1}
