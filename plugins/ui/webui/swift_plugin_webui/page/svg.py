"""Panels of curves as SVG. Gradio's own plots keep the colours of the curves that they had first, and lose others."""

from __future__ import annotations

import math
from html import escape

from swift_plugin_webui.jobs.curves import Points

COLOURS = ("#2563eb", "#ea580c", "#16a34a", "#9333ea", "#dc2626", "#0891b2", "#a16207", "#db2777")
WIDTH, HEIGHT = 380, 210
LEFT, RIGHT, TOP, BOTTOM = 58, 358, 30, 168
"""The frame in which curves are drawn; the names of the axes stand around it."""


def panel(title: str, curves: dict[str, Points], step: str) -> str:
    """A panel with axes and a legend. step: what the horizontal axis is called. Points that are not finite are gaps."""
    finite = {name: [p for p in points if math.isfinite(p[1])] for name, points in curves.items()}
    shown = {name: points for name, points in finite.items() if points}
    if not shown:
        return ""
    xs = [p[0] for points in shown.values() for p in points]
    ys = [p[1] for points in shown.values() for p in points]
    x_axis, y_axis = Axis(min(xs), max(xs), LEFT, RIGHT), Axis(min(ys), max(ys), BOTTOM, TOP)
    lines = "".join(_line(points, COLOURS[n % len(COLOURS)], x_axis, y_axis) for n, points in enumerate(shown.values()))
    last = ", ".join(f"{name} {points[-1][1]:.4g}" for name, points in shown.items())
    return (
        f'<figure class="swift-plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}: '
        f'{escape(last)}"><text x="{WIDTH / 2}" y="18" class="swift-title">{escape(title)}</text>'
        f"{_grid(x_axis, y_axis)}{lines}"
        f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 8}" class="swift-axis">{escape(step)}</text></svg>'
        f"<figcaption>{_legend(shown)}</figcaption></figure>"
    )


class Axis:
    """Values between `low` and `high` on pixels between `first` and `last`; ticks at round values."""

    def __init__(self, low: float, high: float, first: float, last: float):
        wide = (high - low) or abs(high) or 1.0
        rough = wide / 5
        size = 10.0 ** math.floor(math.log10(rough))
        self.step = next((size * f for f in (1, 2, 5) if size * f >= rough), size * 10)
        self.low = low if high > low else low - wide / 2
        self.high = high if high > low else high + wide / 2
        self.first, self.last = first, last

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Round values within."""
        start = math.ceil(self.low / self.step)
        return [n * self.step for n in range(start, math.floor(self.high / self.step + 1e-9) + 1)]


def _grid(x_axis: Axis, y_axis: Axis) -> str:
    across = "".join(
        f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y_axis.at(v):.1f}" y2="{y_axis.at(v):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y_axis.at(v) + 4:.1f}" class="swift-tick swift-left">{v:.6g}</text>'
        for v in y_axis.ticks()
    )
    along = "".join(
        f'<text x="{x_axis.at(v):.1f}" y="{BOTTOM + 16}" class="swift-tick">{v:.6g}</text>' for v in x_axis.ticks()
    )
    return f'<g class="swift-lines">{across}{along}</g>'


def _line(points: Points, colour: str, x_axis: Axis, y_axis: Axis) -> str:
    places = " ".join(f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in points)
    if len(points) > 1:
        return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
    x, _, y = places.partition(",")
    return f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'


def _legend(curves: dict[str, Points]) -> str:
    return "".join(
        f'<span><i style="background: {COLOURS[n % len(COLOURS)]}"></i>{escape(name)}: {points[-1][1]:.4g}</span>'
        for n, (name, points) in enumerate(curves.items())
    )
