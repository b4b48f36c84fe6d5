"""Two or more evaluations side by side: `swift eval --compare FOLDER FOLDER`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import SwiftError
from swift_core.evaluation.pictures import draw
from swift_core.evaluation.reports import shown

if TYPE_CHECKING:
    from swift_core.contract.job import Job

Key = tuple[str, str, str]
"""Evaluator, data set, metric."""

Reports = list[dict[str, Any]]


def compare(job: Job) -> dict[str, Any]:
    """Print the metrics of each run in a column of its own, and of two runs the difference.

    Returns `{"runs": folders, "metrics": [{"evaluator", "name", "metric", "values"}]}`, which stands in
    `output_dir/compared.json`, beside `compared.png`, where the job has an output folder. A value is None where a run
    has not measured it. Raises SwiftError for fewer than two runs, and for a folder without a report.
    """
    words = job.options.compare
    if len(words) < 2:
        raise SwiftError("--compare needs two or more report folders: --compare FOLDER FOLDER.")
    runs = [read_report(Path(word)) for word in words]
    names = own_names(words)
    lines = side_by_side(runs)
    _print(lines, runs, names)
    found = {"runs": words, "metrics": [_plain(key, values) for key, values in lines.items()]}
    if job.options.output_dir:
        folder = Path(job.options.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "compared.json").write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        draw(job, list(zip(names, runs, strict=True)), folder / "compared.png")
    return found


def read_report(place: Path) -> Reports:
    """The reports of a run: of its folder, or of its report.json. SwiftError where there is none, or it is broken."""
    file = place / "report.json" if place.is_dir() else place
    try:
        reports: Reports = json.loads(file.read_text(encoding="utf-8"))["reports"]
    except FileNotFoundError:
        raise SwiftError(f"--compare {place}: there is no {file}; say a folder that swift eval wrote.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SwiftError(f"--compare {place}: {file} is no report of swift eval: {error}.") from None
    return reports


def side_by_side(runs: list[Reports]) -> dict[Key, list[float | None]]:
    """Each metric that any run has, with its value in every run."""
    tables = [{(r["evaluator"], r["name"], m): v for r in run for m, v in r["metrics"].items()} for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table)
    return {key: [table.get(key) for table in tables] for key in keys}


def own_names(words: list[str]) -> list[str]:
    """What the runs are called: the last parts of their paths, as many as tell them apart."""
    paths = [Path(word).absolute() for word in words]
    paths = [path.parent if path.suffix == ".json" else path for path in paths]
    for count in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _print(lines: dict[Key, list[float | None]], runs: list[Reports], names: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("evaluator", "data set", "metric"):
        table.add_column(heading, no_wrap=True)
    for heading in [*names, *(["difference"] if len(runs) == 2 else [])]:
        table.add_column(heading, justify="right")
    reports = {(r["evaluator"], r["name"]): r for run in runs for r in run}
    for (evaluator, name, metric), values in lines.items():
        report = reports[evaluator, name]
        cells = [shown(report, metric, value) for value in values]
        table.add_row(
            evaluator, name, metric, *cells, *([_difference(report, metric, values)] if len(runs) == 2 else [])
        )
    Console(markup=False, soft_wrap=True).print(table)


def _difference(report: dict[str, Any], metric: str, values: list[float | None]) -> str:
    first, second = values
    if first is None or second is None:
        return "-"
    text = shown(report, metric, second - first)
    return text if text.startswith("-") else f"+{text}"


def _plain(key: Key, values: list[float | None]) -> dict[str, Any]:
    return {"evaluator": key[0], "name": key[1], "metric": key[2], "values": values}
