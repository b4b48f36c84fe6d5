"""Keep the figures of the README: `python tools/readme.py` writes them anew.

A figure is a number before the words of `COUNTED`: what this repository ships. A row of `MEASURED` repeats a row of
docs/benchmarks.md. Run by `make generated`; a test checks that they are up to date.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

from wheels import ROOT, distributions

FILE = ROOT / "README.md"

COUNTED = {
    "model families": "swift_core.models",
    "tuners": "swift_core.tuners",
    "training methods": "swift_core.trainers",
    "optimizers": "swift_core.optimizers",
    "quantizers": "swift_core.quantizers",
    "names of chat formats": "swift_core.templates",
    "published data sets": "swift_core.datasets",
    "recipes": "swift_core.recipes",
    "distributions": "",
}
"""Words behind a figure → the group of entry points that it counts; empty: the distributions themselves."""

BENCHMARKS = ROOT / "docs" / "benchmarks.md"

MEASURED = {
    "swift-core": "full: swift, masters in the optimizer (default)",
    "LLaMA-Factory": "full: LLaMA-Factory",
    "TRL": "full: TRL",
    "transformers' Trainer": "full: Trainer",
    "ms-swift": "full: ms-swift",
}
"""First word of a row of the README → the row of docs/benchmarks.md, in the table of precision, that it repeats."""

BITS = {"BF16": 16, "F32": 32}


def counts(root: Path = ROOT) -> dict[str, int]:
    """Words → how many there are, from the metadata of every distribution."""
    files = [folder / "pyproject.toml" for folder in distributions(root)]
    projects = [tomllib.loads(file.read_text(encoding="utf-8"))["project"] for file in files]
    groups = Counter({"": len(projects)})
    for project in projects:
        groups.update({group: len(names) for group, names in project.get("entry-points", {}).items()})
    return {words: groups[group] for words, group in COUNTED.items()}


def text() -> str:
    """The README with its figures written anew. ValueError where one of them does not stand in it."""
    found = FILE.read_text(encoding="utf-8")
    for words, count in counts().items():
        found, times = re.subn(rf"\b\d[\d,]*(\s+{words})\b", rf"{count}\1", found)
        if not times:
            raise ValueError(f"README.md has no figure before {words!r}")
    for name, row in MEASURED.items():
        found, times = re.subn(rf"^(\| {name}[ \d.]*) \|.*$", rf"\1 | {measured(row)} |", found, flags=re.MULTILINE)
        if times != 1:
            raise ValueError(f"README.md has no row of {name!r}")
    return found


def measured(row: str) -> str:
    """Loss of the saved file, its bits, seconds a step and peak memory, from a row of docs/benchmarks.md.

    ValueError where there is no such row.
    """
    lines = BENCHMARKS.read_text(encoding="utf-8").splitlines()
    cells = next((line.strip("| ").split(" | ") for line in lines if line.startswith(f"| {row} |")), None)
    if cells is None:
        raise ValueError(f"docs/benchmarks.md has no row {row!r}")
    _, _, _, saved, file, seconds, peak = cells
    return f"{saved} | {BITS[file]} | {seconds} | {int(peak):,} MiB"


if __name__ == "__main__":
    made = text()
    FILE.write_text(made, encoding="utf-8")
    print(f"README.md: {', '.join(f'{count} {words}' for words, count in counts().items())}")
