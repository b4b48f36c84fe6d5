"""Reports as one PNG: bars, one group for each metric and one colour for each run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swift_core.contract.job import Job

Runs = list[tuple[str, list[dict[str, Any]]]]
"""What a run is called, and its reports."""


def draw(job: Job, runs: Runs, picture: Path) -> Path | None:
    """Bars of all metrics: shares on one scale, each other number on a scale of its own; None without any.

    Where matplotlib is not installed, that is said.
    """
    if importlib.util.find_spec("matplotlib") is None:
        job.say("There is no picture of the report: matplotlib is not installed (pip install matplotlib).")
        return None
    panels = panels_of(runs)
    if not panels:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [0.9 + 0.28 * len(lines) * len(runs) for lines in panels.values()]
    figure = Figure(figsize=(8, sum(heights)))
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        _bars(axis, title, lines, [name for name, _ in runs])
    figure.tight_layout()
    figure.savefig(picture, dpi=100)
    return picture


def panels_of(runs: Runs) -> dict[str, dict[str, list[float | None]]]:
    """Title → label → the value in each run. Shares stand together, every other number alone."""
    panels: dict[str, dict[str, list[float | None]]] = {}
    for place, (_, reports) in enumerate(runs):
        for report in reports:
            for metric, value in report["metrics"].items():
                if value is not None:
                    number = metric in report.get("numbers", ())
                    title = f"{report['name']} {metric}" if number else "shares"
                    lines = panels.setdefault(title, {})
                    lines.setdefault(f"{report['name']} {metric}", [None] * len(runs))[place] = value
    return panels


def _bars(axis: Any, title: str, lines: dict[str, list[float | None]], names: list[str]) -> None:
    """One panel: a group of bars for each label, the first on top."""
    share = title == "shares"
    thick = 0.8 / len(names)
    for run, name in enumerate(names):
        places = [group + (run - (len(names) - 1) / 2) * thick for group in range(len(lines))]
        values = [line[run] for line in lines.values()]
        bars = axis.barh(places, [value or 0 for value in values], thick, label=name)
        labels = ["-" if v is None else f"{v:.1%}" if share else f"{v:.4g}" for v in values]
        axis.bar_label(bars, labels=labels, padding=3, fontsize=7)
    axis.set_yticks(range(len(lines)), list(lines), fontsize=7)
    axis.invert_yaxis()
    axis.set_title(title, fontsize=8, loc="left")
    axis.margins(x=0.12)
    if share:
        axis.set_xlim(min(0, *(v for line in lines.values() for v in line if v is not None)), 1.12)
    if len(names) > 1:
        axis.legend(fontsize=7)
