"""Curves of runs: metrics over steps from `logging.jsonl`, smoothed, several runs beside one another."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

SKIPPED = ("step", "epoch", "seconds", "total_flos", "tokens_per_second", "train_loss")
"""What a log line holds besides metrics, what is no sign of learning, and the mean of all that was said already."""

AFTERWARDS = ("_runtime", "_per_second")
"""How the names of figures about time end."""

ORDER = ("loss", "rewards/margins", "rewards", "logps", "accuracy", "reward", "grad_norm", "learning_rate")
"""Panels that are shown first, in this order; `eval_loss` is drawn into the panel of `loss`."""

SIDES = ("chosen", "rejected")

Points = list[tuple[int, float]]


def series_in(file: Path) -> dict[str, Points]:
    """Metric → (step, value) pairs of a log; where a resumed run wrote a step again, its later line counts.

    A last line that is still being written is left out.
    """
    series: dict[str, dict[int, float]] = {}
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return {}
    for text in lines:
        try:
            line = json.loads(text)
            step = int(line["step"])
        except (ValueError, KeyError, TypeError):
            continue
        for name, value in line.items():
            if _is_metric(name, value):
                series.setdefault(name, {})[step] = float(value)
    return {name: sorted(points.items()) for name, points in series.items()}


def _is_metric(name: str, value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and name not in SKIPPED and not name.endswith(AFTERWARDS)


def panel_of(metric: str) -> str:
    """The panel in which a metric is drawn: that of training and evaluation is one, as is that of a pair's sides."""
    plain = metric.removeprefix("eval_")
    group, _, side = plain.rpartition("/")
    return group if side in SIDES and group else plain


def panels(metrics: Iterable[str]) -> dict[str, list[str]]:
    """Panel → its metrics, what tells most first."""
    found: dict[str, list[str]] = {}
    for metric in metrics:
        found.setdefault(panel_of(metric), []).append(metric)
    return dict(sorted(found.items(), key=lambda item: _rank(item[0])))


def _rank(panel: str) -> tuple[int, str]:
    places = [n for n, name in enumerate(ORDER) if panel == name or panel.startswith(name + "/")]
    return (places[0] if places else len(ORDER), panel)


def smoothed(points: Points, weight: float) -> Points:
    """An exponential moving average, without a bias towards its start. weight: 0 keeps the points, below 1."""
    out, mean, mass = Points(), 0.0, 0.0
    for step, value in points:
        mean, mass = mean * weight + value * (1 - weight), mass * weight + (1 - weight)
        out.append((step, mean / mass))
    return out
