"""What an evaluation does once there is an engine: each evaluator its data sets, reports, a table and a picture."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.components import Evaluator, declared
from swift_core.contract.errors import SwiftError
from swift_core.evaluation.benchmarks import FILES, evaluator_of, refuse_unknown
from swift_core.evaluation.pictures import draw
from swift_core.evaluation.reports import LateEngine, show
from swift_core.evaluation.sets import EvalSet, eval_sets
from swift_core.jobs.journal import append, line_of, mark_of, whole_lines
from swift_core.version import __version__

if TYPE_CHECKING:
    from swift_core.contract.job import Job

REPORT = "report.json"
PICTURE = "report.png"
FINISHED = "finished.jsonl"
"""A line for each data set that is measured, with its report: what --resume goes on from."""

Report = dict[str, Any]


def measure(job: Job, engine: Any) -> dict[str, Any]:
    """Measure, print a table and draw a picture; returns what stands in `output_dir/report.json`, its path as `file`.

    Raises SwiftError where there is nothing to measure, or where a data set cannot be measured: the reports of those
    before it are kept.
    """
    whole = gather(job, engine)
    show(whole["reports"])
    job.say(f"The report is in {whole['file']}.")
    folder = Path(job.options.output_dir)
    draw(job, [(folder.name, whole["reports"])], folder / PICTURE)
    return whole


def gather(job: Job, engine: Any) -> dict[str, Any]:
    """As `measure`, without a word or a picture. engine: one that is there, or a `LateEngine`."""
    check_asked(job)
    plan = assigned(job)
    _place_output(job)
    finished = Finished(job)
    return _write(job, [report for item, sets in plan for report in _ask(job, item, sets, engine, finished)])


class _NotYet(Exception):
    """An evaluator has read its data and would ask the model now."""


def check_data(job: Job) -> None:
    """Let every evaluator read its data and make its environment, as far as it does so before it asks the model.

    Raises SwiftError for what is wrong with them. `output_dir` has to be there.
    """

    def refuse() -> Any:
        raise _NotYet

    check_asked(job)
    for item, sets in assigned(job):
        with contextlib.suppress(_NotYet):
            job.call(item, "evaluate", engine=LateEngine(refuse), sets=sets)


def check_asked(job: Job) -> None:
    """SwiftError where the job says nothing to measure on, nobody who measures, or a data folder that is none."""
    options = job.options
    if not (options.eval_dataset or options.dataset or options.val_dataset or options.custom_eval_config):
        raise SwiftError("Measure on what? Say --eval_dataset with files or names, or --custom_eval_config FILE.json.")
    if not job.many("evaluator"):
        raise SwiftError("Measure how? Say --evaluator NAME; swift list evaluators shows them.")
    folder = options.eval_data_dir
    if folder and not Path(folder).is_dir():
        raise SwiftError(f"--eval_data_dir {folder} is not a folder.")


def assigned(job: Job) -> list[tuple[Any, list[EvalSet]]]:
    """Each evaluator with the data sets that it measures: all of them where the user named it, else what is its own.

    Raises SwiftError for a name that an evaluator does not know.
    """
    sets, items = eval_sets(job), job.many("evaluator")
    named = job.options.evaluator
    plan = [(item, [s for s in sets if named or _owner(s) == item.entry.name]) for item in items]
    for item, own in plan:
        if declared(item.component, Evaluator, "benchmarks") is not None:
            refuse_unknown(item.entry.name, (s.name for s in own if s.source is None))
    return plan


def _owner(eval_set: EvalSet) -> str:
    return FILES if eval_set.source is not None else evaluator_of(eval_set.name, Catalogue.installed())


def _place_output(job: Job) -> None:
    options = job.options
    if options.output_dir is None:
        name = Path(options.model or options.eval_model or "server").name.lower()
        options.output_dir = f"output/{name}-eval-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path(options.output_dir)
    if folder.exists() and not folder.is_dir():
        raise SwiftError(f"--output_dir {folder} is a file, not a folder.")
    folder.mkdir(parents=True, exist_ok=True)


def _ask(job: Job, item: Any, sets: list[EvalSet], engine: Any, finished: Finished) -> list[Report]:
    """The reports of one evaluator, in the order of the data sets; those measured before are not measured again."""
    kept = {s.name: report for s in sets if (report := finished.report(item, s))}
    for name in kept:
        job.say(f"{name} is measured already ({item.label}); it is not measured again.")
    left = [s for s in sets if s.name not in kept]
    try:
        for eval_set, report in zip(left, _measured(job, item, left, engine), strict=True):
            kept[eval_set.name] = {"evaluator": item.label, **report}
            finished.add(item, eval_set, kept[eval_set.name])
    except SwiftError:
        if finished.lines:
            folder = job.options.output_dir
            job.say(f"What is measured is kept: --output_dir {folder} --resume true goes on with the rest.")
        raise
    return [kept[s.name] for s in sets]


def _measured(job: Job, item: Any, left: list[EvalSet], engine: Any) -> Iterator[Report]:
    """The reports as they come. SwiftError where measuring fails, or where there is not one of each data set."""
    done = 0
    for report in (job.call(item, "evaluate", engine=engine, sets=left) or []) if left else []:
        done += 1
        if done <= len(left):
            yield report
    if done != len(left):
        raise SwiftError(f"evaluator {item.label} gave {done} reports of {len(left)} data sets; it gives one of each.")


APART = {
    "resume", "eval_dataset", "dataset", "val_dataset", "custom_eval_config", "evaluator", "output_dir",
    "max_batch_size", "compare",
}  # fmt: skip
"""Options that change no report of one data set: which others are measured, where, how many rows together."""


class Finished:
    """The file of data sets that are measured. A job that is not resumed begins it anew."""

    def __init__(self, job: Job):
        self.job, self.file = job, Path(job.options.output_dir, FINISHED)
        if not job.options.resume:
            self.file.unlink(missing_ok=True)
        self.lines = {line["mark"]: line["report"] for line in map(json.loads, whole_lines(self.file))}

    def report(self, item: Any, eval_set: EvalSet) -> Report | None:
        """The report of a data set by an evaluator under the same options, if it is there."""
        return self.lines.get(self._mark(item, eval_set))

    def add(self, item: Any, eval_set: EvalSet, report: Report) -> None:
        """Note a report; it is on the disk before this returns."""
        mark = self._mark(item, eval_set)
        self.lines[mark] = report
        append(self.file, [line_of({"mark": mark, "report": report})])

    def _mark(self, item: Any, eval_set: EvalSet) -> str:
        """Differs wherever the report could: model, options, evaluator, data set, and their files."""
        options = self.job.options
        others = [c for c in self.job.selected if c.kind not in ("evaluator", "dataset") or c is item]
        mark = mark_of(self.job.changed(selected=others), APART)
        place = eval_set.source.id if eval_set.source else ""
        files = [place, options.model or "", *(word.rpartition("=")[2] for word in options.adapters)]
        return line_of([mark, item.label, eval_set.name, place, eval_set.pattern, *map(_state, files)])


def _state(place: str) -> list[int]:
    """Size and time of a file, or of all files in a folder; [] for what is neither."""
    path = Path(place)
    files = [path] if path.is_file() else [f for f in path.iterdir() if f.is_file()] if place and path.is_dir() else []
    seen = [file.stat() for file in files]
    return [sum(s.st_size for s in seen), max(s.st_mtime_ns for s in seen)] if seen else []


def _write(job: Job, reports: list[Report]) -> dict[str, Any]:
    options = job.options
    file = Path(options.output_dir, REPORT)
    whole = {
        "swift_core": __version__,
        "model": options.model,
        "adapters": options.adapters,
        "eval_url": options.eval_url,
        "reports": reports,
    }
    file.write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    job.write_lock(options.output_dir)
    return {**whole, "file": str(file)}
