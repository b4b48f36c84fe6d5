"""Slopes of cost against size, and their picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Curve:
    """Cost at each size. unit: of the cost. theory: the log-log slope that is expected, in words."""

    title: str
    axis: str
    unit: str
    theory: str
    points: dict[int, float] = field(default_factory=dict)

    def slope(self) -> float:
        """Of a line through log cost against log size, by least squares; sizes and costs of 0 are left out."""
        pairs = [(math.log(x), math.log(y)) for x, y in self.points.items() if x > 0 and y > 0]
        x0, y0 = (sum(v) / len(pairs) for v in zip(*pairs, strict=True))
        return sum((x - x0) * (y - y0) for x, y in pairs) / sum((x - x0) ** 2 for x, _ in pairs)


def two_parts(points: dict[int, float]) -> tuple[float, float]:
    """(a, b) of cost = a·n + b·n², by least squares on cost ÷ n: what grows with the length, and with its square."""
    pairs = [(n, cost / n) for n, cost in points.items()]
    n0, y0 = (sum(v) / len(pairs) for v in zip(*pairs, strict=True))
    b = sum((n - n0) * (y - y0) for n, y in pairs) / sum((n - n0) ** 2 for n, _ in pairs)
    return y0 - b * n0, b


def measured(curve: Curve, sizes: list[int], cost: Callable[[int], float]) -> Curve:
    """Fill a curve, one size after the other."""
    for size in sizes:
        curve.points[size] = cost(size)
        print(f"{curve.title}: {size} {curve.axis}: {curve.points[size]:.4g} {curve.unit}", flush=True)
    return curve


def draw(curves: list[Curve], file: Path) -> None:
    """All curves, four to a line, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = min(4, len(curves))
    lines = -(-len(curves) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(3.4 * columns, 3.2 * lines), squeeze=False)
    for place, curve in zip(axes.flat, curves, strict=False):
        shown = {x: y for x, y in curve.points.items() if x > 0}
        place.loglog(list(shown), list(shown.values()), marker="o")
        place.set(title=f"{curve.title}\nslope {curve.slope():.2f}", xlabel=curve.axis, ylabel=curve.unit)
    for place in axes.flat[len(curves) :]:
        place.remove()
    figure.tight_layout()
    figure.savefig(file, dpi=70)
