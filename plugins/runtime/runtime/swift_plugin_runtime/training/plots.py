"""Curves of a run's log as one PNG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Points = list[tuple[int, float]]

SKIPPED = {
    "step",
    "epoch",
    "seconds",
    "total_flos",
    "tokens_per_second",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
    "eval_runtime",
    "eval_samples_per_second",
    "eval_steps_per_second",
}

SIDES = ("chosen", "rejected")
"""Metrics of the two sides of a pair are drawn together."""


def plot_log(log: Path, picture: Path) -> Path | None:
    """Small plots over optimizer steps, the same metric of training and evaluation in one; None without any."""
    panels = panels_of(read_series(log))
    if not panels:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.5 * columns, 3 * rows))
    FigureCanvasAgg(figure)
    for number, (title, lines) in enumerate(panels.items(), 1):
        axis = figure.add_subplot(rows, columns, number)
        for name, points in lines.items():
            axis.plot(
                [p[0] for p in points], [p[1] for p in points], marker="." if len(points) < 30 else None, label=name
            )
        axis.set(title=title, xlabel="step")
        axis.locator_params(nbins=4)  # drawing ticks is most of the time
        axis.locator_params(axis="x", integer=True)
        axis.ticklabel_format(axis="y", scilimits=(-3, 4))  # labels that fit into the margin
        axis.grid(alpha=0.3)
        if len(lines) > 1:
            axis.legend(fontsize=7)
    wide, high = figure.get_size_inches()  # margins in inches; "tight" ones draw everything twice
    figure.subplots_adjust(
        left=0.8 / wide, right=1 - 0.2 / wide, bottom=0.5 / high, top=1 - 0.35 / high, hspace=0.55, wspace=0.35
    )
    figure.savefig(picture, dpi=100)
    return picture


def panels_of(series: dict[str, Points]) -> dict[str, dict[str, Points]]:
    """Title → the lines of one plot: a metric in training and evaluation, and the two sides of pairs."""
    panels: dict[str, dict[str, Points]] = {}
    for name, points in series.items():
        plain = name.removeprefix("eval_")
        group, _, side = plain.rpartition("/")
        panels.setdefault(group if side in SIDES else plain, {})[name] = points
    return panels


def read_series(log: Path) -> dict[str, Points]:
    """Metric → (step, value) pairs, for metrics logged more than once. A resumed run's later line wins."""
    series: dict[str, dict[int, float]] = {}
    if not log.is_file():
        return {}
    for text in log.read_text(encoding="utf-8").splitlines():
        line: dict[str, Any] = json.loads(text)
        for name, value in line.items():
            if name not in SKIPPED and isinstance(value, int | float):
                series.setdefault(name, {})[line["step"]] = float(value)
    return {name: sorted(points.items()) for name, points in series.items() if len(points) > 1}
