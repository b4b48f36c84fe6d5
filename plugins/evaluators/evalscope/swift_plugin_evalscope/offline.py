"""Benchmarks whose data lies in a folder: EvalScope reads it with `datasets`, which wants a README that names files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.contract.errors import did_you_mean
from swift_core.contract.job import Job
from swift_core.evaluation.benchmarks import read_benchmarks

TABLE = Path(__file__).with_name("benchmarks.tsv")
ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")

LAYOUTS = ("{subset}/{split}", "{subset}/{split}-*", "{subset}_{split}", "{split}/{subset}", "{split}/{subset}_{split}")
"""Where the file of a subset and a split may lie, without its ending."""

ALONE = ("{split}", "{split}-*", "data/{split}-*")
"""Where it may lie, too, in a benchmark of one subset."""


def offline_args(job: Job, name: str, place: Path) -> dict[str, Any]:
    """EvalScope's dataset_args for a benchmark in `--eval_data_dir`; {} where that is not said.

    The data lies in a folder of the benchmark's name. Where that has a README, or files that are no tables, it is taken
    as it is; else `place` becomes a folder of links to it with a README. Raises SwiftError where data is missing.
    """
    if not job.options.eval_data_dir:
        return {}
    source = Path(job.options.eval_data_dir, name).resolve()
    if not source.is_dir():
        there = sorted(p.name for p in source.parent.iterdir() if p.is_dir())
        raise SwiftError(
            f"--eval_data_dir {source.parent} has no folder {name!r}, where the data of that benchmark lies."
            f"{did_you_mean(name, there)}"
        )
    tables = [file for file in source.rglob("*") if file.suffix in ENDINGS]
    if (source / "README.md").is_file() or not tables:
        return {"local_path": str(source)}
    _, asked, subsets = read_benchmarks(TABLE, "evalscope")[name].more
    return _linked(job, name, source, place, asked, subsets.split())


def _linked(job: Job, name: str, source: Path, place: Path, asked: str, subsets: list[str]) -> dict[str, Any]:
    """Links and a README; the subsets whose files are there, and no examples before questions where those lack."""
    examples = read_benchmarks(TABLE, "evalscope")[name].more[0]
    splits, alone = {asked, examples} - {""}, len(subsets) == 1
    found = {subset: {split: _files(source, subset, split, alone) for split in splits} for subset in subsets}
    there = [subset for subset in subsets if found[subset].get(asked)]
    if not there:
        raise SwiftError(
            f"{source} holds no rows to ask for {name}: it needs a file such as "
            f"{_path(LAYOUTS[0], subsets[0] if subsets else 'default', asked or 'test')}.jsonl"
            + (f" or {asked}.jsonl" if len(subsets) == 1 else "")
            + f" ({', '.join(ENDINGS)}), or a README.md that names its files as data sets on a hub do."
        )
    place.mkdir(parents=True)
    for entry in source.iterdir():
        (place / entry.name).symlink_to(entry)
    (place / "README.md").write_text(readme({subset: found[subset] for subset in there}), encoding="utf-8")
    args: dict[str, Any] = {"local_path": str(place)}
    if len(there) < len(subsets):
        job.say(f"{name}: {len(there)} of {len(subsets)} subsets are in {source}: {', '.join(there)}.")
        args["subset_list"] = there
    if examples and not all(found[subset][examples] for subset in there):
        job.say(f"{name}: there is no {examples} split in {source}, so no examples stand before a question.")
        args["few_shot_num"] = 0
    return args


def _path(layout: str, subset: str, split: str) -> str:
    return layout.format(subset=subset, split=split)


def _files(source: Path, subset: str, split: str, alone: bool) -> list[str]:
    """The files of one subset and split, below `source`: those of the first layout that has any."""
    for layout in (*LAYOUTS, *(ALONE if alone else ())):
        for ending in ENDINGS:
            found = sorted(source.glob(_path(layout, subset, split) + ending))
            if found:
                return [str(file.relative_to(source)) for file in found]
    return []


def readme(subsets: dict[str, dict[str, list[str]]]) -> str:
    """The head of a data set's card: for each subset the files of each split."""
    lines = ["---", "configs:"]
    for subset, splits in subsets.items():
        lines += [f'- config_name: "{subset}"', "  data_files:"]
        for split, files in splits.items():
            if files:
                lines += [f"  - split: {split}", "    path:", *(f'    - "{file}"' for file in files)]
    return "\n".join([*lines, "---", ""])
