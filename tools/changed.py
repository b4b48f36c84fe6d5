"""Print the test folders of what changed: `python tools/changed.py [BASE]`, with BASE `main` where it is left out.

A changed distribution brings its own tests and those of every distribution that requires it. A change of the kernel,
the runtime or the test kit is a change of everything: then all tests are named.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
EVERYTHING = ("swift_core/", "plugins/runtime/", "pyproject.toml", "constraints.txt", "Makefile")
"""Changes below these concern every distribution."""

ALL = ["tests", "plugins", "templates_catalog", "datasets_catalog", "recipes_catalog"]


def distributions(root: Path) -> dict[str, tuple[str, set[str]]]:
    """Distribution → (its folder, the distributions that it requires)."""
    files = [*root.glob("plugins/*/*/pyproject.toml"), *root.glob("contrib_models/*/pyproject.toml")]
    projects = {}
    for file in [*files, *root.glob("*_catalog/pyproject.toml")]:
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        needs = {re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in project.get("dependencies", [])}
        projects[project["name"]] = (file.parent.relative_to(root).as_posix(), needs)
    return projects


def changed_files(root: Path, base: str) -> list[str]:
    """Paths that differ from `base`, new files among them."""
    words = (["diff", "--name-only", base], ["ls-files", "--others", "--exclude-standard"])
    runs = [subprocess.run(["git", *w], cwd=root, capture_output=True, text=True, check=True) for w in words]
    return sorted({line for run in runs for line in run.stdout.splitlines()})


def targets(root: Path, files: list[str]) -> list[str]:
    """What to give pytest for the changes in `files`."""
    if any(f.startswith(EVERYTHING) for f in files):
        return ALL
    known = distributions(root)
    names = {name for name, (folder, _) in known.items() if any(f.startswith(f"{folder}/") for f in files)}
    grown = names | {name for name, (_, needs) in known.items() if needs & names}
    folders = [f"{known[name][0]}/tests" for name in sorted(grown)]
    own = [f for f in files if re.fullmatch(r"tests/test_\w+\.py", f)]
    shared = ["tests"] if names else own
    return [*shared, *(f for f in folders if (root / f).is_dir())] or ["tests/test_docs.py"]


if __name__ == "__main__":
    print(" ".join(targets(ROOT, changed_files(ROOT, sys.argv[1] if len(sys.argv) > 1 else "main"))))
