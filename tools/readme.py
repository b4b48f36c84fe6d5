"""Keep the figures of the README: `python tools/readme.py` counts what this repository ships, and writes them anew.

A figure is a number before the words of `COUNTED`. Run by `make generated`; a test checks that they are up to date.
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
    return found


if __name__ == "__main__":
    made = text()
    FILE.write_text(made, encoding="utf-8")
    print(f"README.md: {', '.join(f'{count} {words}' for words, count in counts().items())}")
