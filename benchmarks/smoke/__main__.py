"""`python -m benchmarks.smoke`: what each job does, counted, against the counts that are stored.

A job that does more than stored ends the command with 1: which count grew, and where. One that does less is told of;
`--store` keeps the new counts. They hold for one set of versions, which stored.tsv names in its first line.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from benchmarks.smoke.counting import Counts
from benchmarks.smoke.subjects import SUBJECTS, write

STORED = Path(__file__).with_name("stored.tsv")

LIBRARIES = ("torch", "transformers", "tokenizers", "peft", "accelerate", "datasets")

SHOWN = 6
"""Details of one count that are listed."""


def main() -> int:
    """Count the subjects, compare or store, and give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.smoke", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="subject", help=f"Of {', '.join(SUBJECTS)}; left out: all.")
    parser.add_argument("--store", action="store_true", help="Keep the new counts in stored.tsv.")
    arguments = parser.parse_args()
    names = arguments.subjects or list(SUBJECTS)
    if strange := [name for name in names if name not in SUBJECTS]:
        parser.error(f"no subject {strange[0]!r}: {', '.join(SUBJECTS)}")
    versions, stored = read(STORED)
    if not arguments.store and versions != installed():
        print(f"The counts are stored for {versions}; installed are {installed()}. Install those, or --store anew.")
        return 1
    found = dict(_counted(names))
    if arguments.store:
        keep(STORED, {**(stored if versions == installed() else {}), **found})
        print(f"stored: {STORED}")
        return 0
    more, other = compared({name: stored.get(name, Counter()) for name in names}, found)
    print("\n".join(["", *more, *other]) or "")
    if other:
        print("To keep counts that are no more: python -m benchmarks.smoke --store")
    print(f"{len(names)} subjects: " + ("more work than stored" if more else "no more work than stored"))
    return int(bool(more))


def _counted(names: list[str]) -> Iterator[tuple[str, Counts]]:
    """Each subject's counts, from a process of its own. What is remembered of the installation is there already."""
    with tempfile.TemporaryDirectory() as place:
        os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", XDG_CACHE_HOME=place, COLUMNS="80")
        write(Path(place))
        for words in (["list"], ["sft", "--help"]):
            subprocess.run([sys.executable, "-m", "swift_core", *words], check=True, capture_output=True)
        for name in names:
            print(name, file=sys.stderr, flush=True)
            yield name, _one(name, place)


def _one(name: str, folder: str) -> Counts:
    command = [sys.executable, "-m", "benchmarks.smoke.subjects", name, folder]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    return Counter({(kind, detail): number for kind, detail, number in json.loads(done.stdout.splitlines()[-1])})


def compared(stored: dict[str, Counts], found: dict[str, Counts]) -> tuple[list[str], list[str]]:
    """(lines about work that grew, lines about work that is less or elsewhere), each with what changed."""
    more, other = [], []
    for name, now in found.items():
        before = stored[name]
        for kind in sorted({kind for kind, _ in now | before}):
            old, new = ({d: n for (k, d), n in counts.items() if k == kind} for counts in (before, now))
            if old != new:
                lines = more if sum(new.values()) > sum(old.values()) else other
                lines.append(f"{name}: {kind}: {sum(old.values())} -> {sum(new.values())}{_details(old, new)}")
    return more, other


def _details(old: dict[str, int], new: dict[str, int]) -> str:
    """What changed, the largest growth first."""
    changes = {detail: new.get(detail, 0) - old.get(detail, 0) for detail in old | new}
    changed = sorted((d for d in changes if d and changes[d]), key=lambda d: -changes[d])
    lines = [f"\n    {d}: {old.get(d, 0)} -> {new.get(d, 0)}" for d in changed[:SHOWN]]
    return "".join(lines) + (f"\n    and {len(changed) - SHOWN} more" if len(changed) > SHOWN else "")


def installed() -> str:
    """The versions that counts depend on."""
    python = ".".join(platform.python_version_tuple()[:2])
    return " ".join([f"python {python}", *(f"{library} {version(library)}" for library in LIBRARIES)])


def read(file: Path) -> tuple[str, dict[str, Counts]]:
    """(the versions, the counts of each subject) in a file that `keep` wrote; nothing where there is none."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else ["# "]
    stored: dict[str, Counts] = {}
    for line in lines[1:]:
        name, kind, detail, number = line.split("\t")
        stored.setdefault(name, Counter())[kind, detail] = int(number)
    return lines[0].removeprefix("# "), stored


def keep(file: Path, counts: dict[str, Counts]) -> None:
    """Write the counts, sorted, so that a change of one is a change of one line."""
    lines = [
        f"{name}\t{kind}\t{detail}\t{number}"
        for name in SUBJECTS
        for (kind, detail), number in sorted(counts.get(name, {}).items())
    ]
    file.write_text("\n".join([f"# {installed()}", *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
