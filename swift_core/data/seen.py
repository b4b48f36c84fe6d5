"""What there is to see of rows: which are double, empty or unusable, and how long they are."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import EmptyAnswer, Row
from swift_core.data.faults import unforeseen
from swift_core.data.load import as_row

if TYPE_CHECKING:
    from swift_core.contract.job import Job
    from swift_core.contract.source import Source

BARS = 10
WIDTH = 50


@dataclass
class Seen:
    """The rows of data sets and what is wrong with them.

    rows: those that a job can use. unusable: the error of each other one; empty: how many of these have an empty
    answer. doubles: place of each row that says the same as an earlier one.
    """

    rows: list[Row] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    empty: int = 0
    doubles: list[str] = field(default_factory=list)
    said: set[str] = field(default_factory=set)

    def add(self, row: Row) -> None:
        """Take in a row, and note whether it is there already."""
        key = json.dumps([row.messages, row.rejected, row.media, row.label], default=repr, sort_keys=True)
        self.doubles += [row.where] if key in self.said else []
        self.said.add(key)
        self.rows.append(row)


def look_at(job: Job, source: Source, items: Iterator[Any], seen: Seen, limit: int | None = None) -> None:
    """Take the rows of a source, at most `limit`, into `seen`; what cannot be used is noted, not raised.

    items: as `read_rows` gives them.
    """
    for item in itertools.islice(items, limit):
        row = item if isinstance(item, SwiftError) else _tried(job, source, item)
        if isinstance(row, SwiftError):
            seen.unusable.append(str(row))
            seen.empty += isinstance(row, EmptyAnswer)
        else:
            seen.add(row)


def _tried(job: Job, source: Source, item: dict[str, Any]) -> Row | SwiftError:
    try:
        return as_row(job, item, source, need_answer=False)
    except SwiftError as error:
        return error
    except Exception as error:  # whatever a data file holds, its reader is told where
        return unforeseen(item.get("_where", "row"), error)


# -- lengths -----------------------------------------------------------------------------------------------
def histogram(lengths: list[int], bars: int = BARS) -> list[tuple[int, int, int]]:
    """(from, to, how many) of equal ranges that hold all lengths."""
    low, high = min(lengths), max(lengths)
    step = max(1, -(-(high - low + 1) // bars))
    counts = [0] * (-(-(high - low + 1) // step))
    for length in lengths:
        counts[(length - low) // step] += 1
    return [(low + n * step, low + (n + 1) * step - 1, count) for n, count in enumerate(counts)]


def histogram_lines(lengths: list[int]) -> list[str]:
    """The histogram as lines of blocks."""
    parts = histogram(lengths)
    most, digits = max(count for _, _, count in parts), len(str(max(lengths)))
    return [f"  {a:>{digits}} - {b:>{digits}}  {'█' * -(-WIDTH * n // most)} {n}".rstrip() for a, b, n in parts]


def length_line(lengths: list[int], unit: str) -> str:
    """Shortest, median, mean, 95th percentile and longest."""
    ordered = sorted(lengths)
    middle, mean, late = statistics.median(ordered), statistics.mean(ordered), ordered[int(0.95 * (len(ordered) - 1))]
    return (
        f"{unit} of a row: {ordered[0]} to {ordered[-1]}, median {middle:g}, mean {mean:.1f}, 95 % have at most {late}"
    )


def draw(lengths: list[int], unit: str, limit: int | None, file: str) -> None:
    """The histogram as a picture. Raises SwiftError where matplotlib is not installed or the file cannot be written."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        raise SwiftError("--png needs matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(8, 4))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.hist(lengths, bins=40, color="#2f6fab")
    if limit:
        axes.axvline(limit, color="#b03030", linestyle="--", label=f"limit {limit}")
        axes.legend()
    axes.set_xlabel(f"{unit} of a row")
    axes.set_ylabel("rows")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    try:
        figure.savefig(file, dpi=120, bbox_inches="tight")
    except OSError as error:
        raise SwiftError(f"--png {file}: {error.strerror}.") from None
