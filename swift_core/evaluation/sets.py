"""The data sets of an evaluation: files in CEval's or in question-answer form, hub ids, and names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.contract.source import Source, is_data_file, is_source
from swift_core.data.convert import COLUMNS
from swift_core.data.readers import READERS
from swift_core.data.sources import source_of

if TYPE_CHECKING:
    from swift_core.contract.job import Job

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

    @property
    def source_of_rows(self) -> Source:
        """`source`, where the set has rows of its own. Raises SwiftError for a name alone."""
        if self.source is None:
            raise SwiftError(f"The data set {self.name!r} is a name without rows; give a file or a hub id.")
        return self.source


def eval_sets(job: Job) -> list[EvalSet]:
    """Every data set that the job names, folders opened, each under a name of its own."""
    options = job.options
    words = [*options.eval_dataset, *options.dataset, *options.val_dataset]
    sets = [s for word in words for s in _of_word(word, options)]
    if options.custom_eval_config:
        sets += read_custom_config(options.custom_eval_config)
    return _with_own_names(sets)


def _of_word(word: str, options: Any) -> list[EvalSet]:
    if not is_source(word) and word in options.eval_dataset:
        return [EvalSet(word)]
    source = source_of(word, options)
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
    sets = _open(EvalSet(item["name"], _local(place), pattern))
    return _subsets(sets, item.get("subset_list"), item["name"], where) if place.is_dir() else sets


def _plain(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "")


def _subsets(sets: list[EvalSet], wanted: list[str] | None, name: str, where: str) -> list[EvalSet]:
    """The wanted subsets of a folder, called `NAME/SUBSET`, or NAME alone where the subset is `default`."""
    known = {s.name: s for s in sets}
    for word in wanted or []:
        if word not in known:
            raise SwiftError(
                f"{where}: there is no subset {word!r}.{did_you_mean(word, known)} There: {', '.join(known)}."
            )
    chosen = [known[word] for word in wanted or known]
    return [replace(s, name=name if s.name == "default" else f"{name}/{s.name}") for s in chosen]


def _open(eval_set: EvalSet) -> list[EvalSet]:
    """A folder as its data files: the `*_val` tables where there are some, else all but the `*_dev` ones.

    One that stands for a published data set, under --data_root, is read as its card says.
    """
    folder = Path(eval_set.source.id) if eval_set.source and not eval_set.source.card else None
    if folder is None or not folder.is_dir():
        return [eval_set]
    files = sorted(p for p in folder.rglob("*") if is_data_file(p) and not p.stem.endswith("_dev"))
    tables = [p for p in files if p.stem.endswith("_val")]
    if not files:
        raise SwiftError(f"The folder {str(folder)!r} holds no data files ({', '.join(READERS)}).")
    return [EvalSet(p.stem.removesuffix("_val"), _local(p), eval_set.pattern) for p in tables or files]


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


CONVERSATIONS = ("messages", "conversations", "conversation")
NEEDED = {
    "choice": "multiple choice needs the columns question, A, B (C, D …) and answer",
    "qa": "question and answer needs the columns query and response, or messages",
}


def form_of(raw: Iterable[dict[str, Any]], eval_set: EvalSet, renamed: dict[str, str]) -> Pattern:
    """`choice` or `qa` by the columns; SwiftError where they are neither, or not what the config promised.

    renamed: the data set's column → ours, as `--columns` gives it.
    """
    columns = {renamed.get(name, name) for row in raw for name in row} - {"_where"}
    if not columns:
        raise SwiftError(f"{eval_set.name} holds no rows.")
    fits: dict[Pattern, bool] = {
        "choice": {"question", "A", "B", "answer"} <= columns,
        "qa": bool(columns.intersection(CONVERSATIONS))
        or all(columns.intersection(COLUMNS[part]) for part in ("query", "response")),
    }
    wanted: list[Pattern] = [eval_set.pattern] if eval_set.pattern else ["choice", "qa"]
    for form in wanted:
        if fits[form]:
            return form
    needs = "; ".join(NEEDED[form] for form in wanted)
    raise SwiftError(
        f"{eval_set.source.text if eval_set.source else eval_set.name} has the columns {', '.join(sorted(columns))}; "
        f"{needs}. "
        'Other names: --columns \'{"mine": "query"}\'.'
    )


def dev_file(eval_set: EvalSet) -> Path:
    """The file of examples: `X_dev.csv` beside `X_val.csv`, or in a folder `dev` beside the folder `val`.

    Raises SwiftError where neither exists.
    """
    file = Path(eval_set.source.id if eval_set.source else eval_set.name)
    name = f"{file.stem.removesuffix('_val')}_dev{file.suffix}"
    for place in (file.with_name(name), file.parent.parent / "dev" / name):
        if place.is_file():
            return place
    raise SwiftError(f"--num_shots needs examples for {eval_set.name}, but {file.with_name(name)} does not exist.")
