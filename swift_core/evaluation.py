"""What evaluators share: the data sets to measure on, asking the engine, and writing what came back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import track

from swift_core.data.load import batches
from swift_core.data.readers import READERS
from swift_core.data.row import Row
from swift_core.data.syntax import Source, is_source, read_source
from swift_core.engine import Engine, Reply, Request, ask, first_adapter
from swift_core.errors import SwiftError, did_you_mean
from swift_core.jobs.common import with_system

if TYPE_CHECKING:
    from swift_core.job import Job

Pattern = Literal["choice", "qa"]
PATTERNS: dict[str, Pattern] = {"CEval": "choice", "General-QA": "qa"}
"""The words of a custom evaluation config → the two forms of a custom data set."""


@dataclass(frozen=True)
class EvalSet:
    """One data set to measure on.

    name: how the report calls it. source: where its rows are; None for a name that an evaluator knows.
    pattern: its form, None where the columns tell.
    """

    name: str
    source: Source | None = None
    pattern: Pattern | None = None


class LateEngine:
    """An engine that starts when it is first used, so that bad data is found before a model is loaded."""

    def __init__(self, start: Callable[[], Engine]):
        self._start = start
        self._engine: Engine | None = None

    def __getattr__(self, name: str) -> Any:
        if self._engine is None:
            self._engine = self._start()
        return getattr(self._engine, name)

    def close(self) -> None:
        """Close the engine if it was ever started."""
        if self._engine is not None:
            self._engine.close()


def eval_sets(job: Job) -> list[EvalSet]:
    """Every data set that the job names, folders opened, each under a name of its own."""
    options = job.options
    words = [*options.eval_dataset, *options.dataset, *options.val_dataset]
    found = [s for word in words for s in _of_word(word, options.use_hf)]
    if options.custom_eval_config:
        found += read_custom_config(options.custom_eval_config)
    return _with_own_names(found)


def _of_word(word: str, use_hf: bool) -> list[EvalSet]:
    if not is_source(word):
        return [EvalSet(word)]
    source = read_source(word, use_hf)
    name = Path(source.id).stem.removesuffix("_val") if source.hub == "local" else source.id
    return _open(EvalSet(name, source))


def read_custom_config(path: str) -> list[EvalSet]:
    """The data sets of a `--custom_eval_config`: a JSON list of `{"name", "pattern", "dataset"}`.

    pattern: CEval (folder of `SUBSET_val.csv`, with `SUBSET_dev.csv` for examples) or General-QA (folder of
    `SUBSET.jsonl` or `.csv`). `subset_list` takes some of them; `dataset` may also be one file. A path that
    does not exist is looked for beside the config.
    """
    listed = _read_list(Path(path))
    return [s for number, item in enumerate(listed, 1) for s in _custom(item, f"{path}, entry {number}", Path(path))]


def _read_list(path: Path) -> list[Any]:
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SwiftError(f"--custom_eval_config {path}: {error.strerror}.") from None
    except ValueError as error:
        raise SwiftError(f"--custom_eval_config {path} is not valid JSON: {error}.") from None
    if not isinstance(listed, list):
        raise SwiftError(f'--custom_eval_config {path} must be a list of {{"name", "pattern", "dataset"}} objects.')
    return listed


def _custom(item: Any, where: str, config: Path) -> list[EvalSet]:
    missing = [k for k in ("name", "pattern", "dataset") if not (isinstance(item, dict) and item.get(k))]
    if missing:
        raise SwiftError(f"{where}: {', '.join(missing)} is missing. An entry has name, pattern and dataset.")
    said = str(item["pattern"])
    pattern = next((p for word, p in PATTERNS.items() if _plain(word) == _plain(said)), None)
    if pattern is None:
        raise SwiftError(
            f"{where}: unknown pattern {said!r}.{did_you_mean(said, PATTERNS)} Patterns: CEval, General-QA."
        )
    place = Path(item["dataset"]) if Path(item["dataset"]).exists() else config.parent / item["dataset"]
    if not place.exists():
        raise SwiftError(f"{where}: the dataset {item['dataset']!r} does not exist.")
    found = _open(EvalSet(item["name"], _local(place), pattern))
    return _subsets(found, item.get("subset_list"), item["name"], where) if place.is_dir() else found


def _plain(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "")


def _subsets(found: list[EvalSet], wanted: list[str] | None, name: str, where: str) -> list[EvalSet]:
    """The wanted subsets of a folder, called `NAME/SUBSET`, or NAME alone where the subset is `default`."""
    known = {s.name: s for s in found}
    for word in wanted or []:
        if word not in known:
            raise SwiftError(
                f"{where}: there is no subset {word!r}.{did_you_mean(word, known)} There: {', '.join(known)}."
            )
    chosen = [known[word] for word in wanted or known]
    return [replace(s, name=name if s.name == "default" else f"{name}/{s.name}") for s in chosen]


def _open(found: EvalSet) -> list[EvalSet]:
    """A folder as its data files: the `*_val` tables where there are some, else all but the `*_dev` ones."""
    folder = Path(found.source.id) if found.source else None
    if folder is None or not folder.is_dir():
        return [found]
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in READERS and not p.stem.endswith("_dev"))
    tables = [p for p in files if p.stem.endswith("_val")]
    if not files:
        raise SwiftError(f"The folder {str(folder)!r} holds no data files ({', '.join(READERS)}).")
    return [EvalSet(p.stem.removesuffix("_val"), _local(p), found.pattern) for p in tables or files]


def _local(path: Path) -> Source:
    return Source(str(path), "local", text=str(path))


def _with_own_names(sets: list[EvalSet]) -> list[EvalSet]:
    """The sets with a number behind every name that was there before: each writes a file of its own."""
    out: dict[str, EvalSet] = {}
    for s in sets:
        name, number = s.name, 1
        while name in out:
            number += 1
            name = f"{s.name}-{number}"
        out[name] = replace(s, name=name)
    return list(out.values())


def answer_all(job: Job, engine: Engine, rows: list[Row], what: str) -> tuple[list[Request], list[Reply]]:
    """What was asked for each row, and what came back, in order; the last assistant turn of a row is left out.

    The first adapter answers where there is one. what: the data set's name, for the progress bar.
    """
    if not rows:
        raise SwiftError(f"{what}: no rows are left to measure on.")
    adapter, options = first_adapter(engine), job.options
    requests = [ask(with_system(job, row), options, adapter, options.seed + n) for n, row in enumerate(rows)]
    size = options.max_batch_size * (16 if getattr(engine, "batches_itself", False) else 1)
    slices = list(batches(requests, size))
    shown = track(slices, what, console=Console(stderr=True), disable=len(slices) < 2)
    return requests, [reply for part in shown for reply in engine.generate(part)]


def write_results(job: Job, evaluator: str, name: str, rows: Iterable[dict[str, Any]]) -> str:
    """Per-row results as JSONL under the output folder; returns the path."""
    path = Path(job.options.output_dir, evaluator, f"{name}.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False, default=str) + "\n" for r in rows), encoding="utf-8")
    return str(path)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are there; None where there are none."""
    there = [v for v in values if v is not None]
    return sum(there) / len(there) if there else None
