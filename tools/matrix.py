"""The compatibility matrix, run and not claimed: `python tools/matrix.py run [CELL …]`, then `page`.

A cell takes one library, or all of them, in the lowest version that the metadata allows or the newest that the index
serves, installs it into a folder of its own, and runs the same tests with that folder first on the path. All other
libraries are those of this environment. Results are kept in `tools/matrix.json`, a line for each cell, with the date;
`page` writes `docs/compatibility.md` from them. Where an interpreter cannot be had, the cell says so.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "tools" / "matrix.json"
PAGE = ROOT / "docs" / "compatibility.md"
FOLDER = ROOT / ".venv" / "matrix"

TESTS = ["plugins/tuners/lora", "plugins/trainers/sft", "plugins/trainers/dpo"]
"""Loading, adapters, training, saving and merging; and losses that are compared with TRL's."""

LIBRARIES = ("transformers", "peft", "accelerate", "trl")
PYTHONS = ("3.11", "3.12", "3.13")
WHICH = {"lowest": "lowest", "newest": "highest"}
"""Word of a cell → uv's way to choose among allowed versions."""

INTRO = """<!-- Written by tools/matrix.py from tools/matrix.json: run `make test-matrix`. -->

# Compatibility

What was run, with the date. Each line is the suites of the LoRA tuner and of the SFT and DPO trainers ({tests}), with
the library that stands out in that version, and all others as `constraints.txt` pins them. trl is no dependency:
losses are compared with it. `make test-matrix` runs every cell again, and writes this page.

"""


def allowed() -> dict[str, str]:
    """Library → what the runtime's metadata allows, `transformers>=5.16,<6`; trl as the tests name it, and newer."""
    text = (ROOT / "plugins" / "runtime" / "runtime" / "pyproject.toml").read_text(encoding="utf-8")
    needs = tomllib.loads(text)["project"]["dependencies"]
    found = {re.split(r"[<>=]", need)[0]: need for need in needs}
    dev = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]["dev"]
    found["trl"] = next(need for need in dev if need.startswith("trl")).replace("==", ">=")
    return {name: found[name] for name in LIBRARIES}


def cells() -> list[str]:
    """The names of all cells: of this environment, of each library in each way, of all libraries together."""
    return ["pinned", *(f"{name}-{which}" for which in WHICH for name in (*LIBRARIES, "all"))]


def install(cell: str) -> Path | None:
    """A folder with the libraries of a cell; None for the cell of this environment.

    Of several libraries all go together. What they need of others is installed beside them, the newest that they allow,
    where ours does not do.
    """
    if cell == "pinned":
        return None
    name, _, which = cell.rpartition("-")
    wanted = [need for library, need in allowed().items() if name in (library, "all")]
    target = FOLDER / cell
    shutil.rmtree(target, ignore_errors=True)
    way = WHICH[which]
    while wanted:
        words = ["uv", "pip", "install", "--quiet", "--python", sys.executable, "--no-deps", "--target", str(target)]
        subprocess.run([sys.executable, "-m", *words, "--resolution", way, *wanted], check=True)
        wanted, way = list(unmet(target)), WHICH["newest"]
    return target


def unmet(target: Path) -> Iterator[str]:
    """What the libraries of a folder need, and neither the folder nor this environment has in that version."""
    own = {canonicalize_name(one.metadata["Name"]): one for one in importlib.metadata.distributions(path=[str(target)])}
    for one in own.values():
        for need in map(Requirement, one.requires or ()):
            if need.marker and not need.marker.evaluate({"extra": ""}):
                continue
            there = own.get(canonicalize_name(need.name))
            version = there.version if there else _installed(need.name)
            if version is None or not need.specifier.contains(version, prereleases=True):
                yield f"{need.name}{need.specifier}"


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions(target: Path | None) -> dict[str, str]:
    """Library → its version in a cell."""
    own = importlib.metadata.distributions(path=[str(target)]) if target else []
    found = {one.metadata["Name"].lower(): one.version for one in own}
    return {name: found.get(name) or importlib.metadata.version(name) for name in (*LIBRARIES, "torch")}


def run(cell: str) -> dict[str, Any]:
    """Install a cell, run its tests, and say what came out."""
    target = install(cell)
    before = [str(target)] if target else []
    path = os.pathsep.join([*before, *filter(None, [os.environ.get("PYTHONPATH")])])
    words = [sys.executable, "-m", "pytest", *TESTS, "--tb=line"]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    counts = {what: int(n) for n, what in re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", done.stdout)}
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1):
        failed.append((done.stdout + done.stderr).strip().splitlines()[-1])
    facts = {"cell": cell, "date": f"{datetime.date.today()}", "python": platform.python_version()}
    return {**facts, **versions(target), **counts, "failures": failed}


def absent() -> Iterator[dict[str, Any]]:
    """A line for each Python that is not on this machine, with why it is not."""
    for version in PYTHONS:
        if not platform.python_version().startswith(version):
            words = [sys.executable, "-m", "uv", "python", "find", "--no-python-downloads", version]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            why = (
                "there, and not run" if done.returncode == 0 else "not on the machine, and not to be had from its index"
            )
            yield {"cell": f"python-{version}", "date": f"{datetime.date.today()}", "python": version, "why": why}


def recorded() -> dict[str, dict[str, Any]]:
    """Cell → its last result."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.is_file() else []
    return {one["cell"]: one for one in map(json.loads, lines)}


def record(results: list[dict[str, Any]]) -> None:
    """Keep results in the place of earlier ones of the same cells."""
    kept = recorded() | {one["cell"]: one for one in results}
    order = {cell: place for place, cell in enumerate([*cells(), *(f"python-{v}" for v in PYTHONS)])}
    lines = sorted(kept.values(), key=lambda one: order[one["cell"]])
    RESULTS.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")


def page() -> str:
    """The page: a table of what was run, what failed by name, and what could not be run."""
    lines = recorded().values()
    head = [
        "| date | Python | transformers | peft | accelerate | trl | torch | passed | failed |",
        "|---|" + "---|" * 8,
    ]
    table = [_line(one) for one in lines if "why" not in one]
    failed = [f"- {one['cell']}: `{name}`" for one in lines for name in one.get("failures", [])]
    missing = [f"- Python {one['python']} ({one['date']}): {one['why']}." for one in lines if "why" in one]
    missing += [f"- {cell}: not run yet." for cell in cells() if cell not in recorded()]
    parts = ["\n".join([*head, *table]), _section("What failed", failed), _section("What was not run", missing)]
    return INTRO.format(tests=", ".join(f"`{t}`" for t in TESTS)) + "\n".join(part for part in parts if part)


def _line(one: dict[str, Any]) -> str:
    """A row of the table; the library that the cell is about stands out."""
    about = one["cell"].rpartition("-")[0]
    shown = [f"**{one[n]}**" if about in (n, "all") else one[n] for n in LIBRARIES]
    counts = [str(one.get("passed", 0)), str(one.get("failed", 0) + one.get("error", 0) + one.get("errors", 0))]
    return f"| {' | '.join([one['date'], one['python'], *shown, one['torch'], *counts])} |"


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([f"\n## {title}\n", *lines]) + "\n" if lines else ""


def main() -> int:
    """Run cells, or write the page; 1 where a cell failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["run", "page"])
    parser.add_argument("cells", nargs="*", metavar="CELL", help=f"left out: all ({', '.join(cells())})")
    options = parser.parse_args()
    results = []
    for cell in (options.cells or cells()) if options.step == "run" else []:
        results.append(run(cell))
        record([results[-1]])
        print(json.dumps(results[-1]), flush=True)
    if options.step == "run":
        record(list(absent()))
    PAGE.write_text(page(), encoding="utf-8")
    return int(any(one["failures"] for one in results))


if __name__ == "__main__":
    sys.exit(main())
