"""What a list and an id cost with 0 to 1,000 plugins installed: distributions in an environment of its own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import HERE, run
from benchmarks.scale.fit import Curve, measured

SIZES = [0, 1, 10, 100, 300, 1000]
CARD = """from swift_core.contract.cards import Family

card = Family(name="made{n}", summary="Number {n}.", checkpoints={{"chatml": "made/made{n}-7B"}})
"""
METADATA = "Metadata-Version: 2.1\nName: made{n}\nVersion: 1.0\nSummary: Family {n}.\n"
ASKED = {"list": ["list", "models"], "id": ["show", "model", "made/made0-7B"]}


def curves(largest: int) -> list[Curve]:
    """CPU milliseconds above an empty Python: with what is remembered, and of the first run after a change."""
    flat = "0 at first, towards 1: constant work, then a line per plugin"
    made = {name: Curve(f"swift {' '.join(w[:2])}", "plugins", "CPU ms", flat) for name, w in ASKED.items()}
    made["first"] = Curve(
        "first list", "plugins", "CPU ms", "0, then 1: the kernel's own imports, then every card is imported once"
    )
    for size in (s for s in SIZES if s <= largest):
        with environment(size) as python:
            empty = median([str(python), "-c", "pass"])
            swift = [str(python), "-m", "swift_core"]
            cold = run([*swift, "list", "models"]).seconds * 1000  # the modules' bytecode is written by this one
            _forget()
            cold = run([*swift, "list", "models"]).seconds * 1000
            measured(made["first"], [size], lambda _, c=cold, e=empty: max(c - e, 0.1))
            for name, words in ASKED.items():
                if name == "id" and not size:
                    continue  # nothing to resolve
                measured(made[name], [size], lambda _, w=words, s=swift, e=empty: max(median([*s, *w]) - e, 0.1))
    return list(made.values())


def median(command: list[str], rounds: int = 7) -> float:
    """CPU milliseconds of a command, the median of several runs."""
    return statistics.median(run(command).seconds for _ in range(rounds)) * 1000


def _forget() -> None:
    for file in Path(os.environ["XDG_CACHE_HOME"], "swift-core").glob("*-*"):
        file.unlink()


@contextmanager
def environment(size: int) -> Iterator[Path]:
    """The Python of a new environment with the kernel, its libraries and `size` families."""
    with tempfile.TemporaryDirectory() as place:
        before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = f"{place}/cache"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", f"{place}/venv"], check=True)
        site = Path(sysconfig.get_path("purelib", vars={"base": f"{place}/venv", "platbase": f"{place}/venv"}))
        _kernel(site)
        for number in range(size):
            _family(site, number)
        time.sleep(2.5)  # what has just changed is not remembered
        try:
            yield Path(place, "venv", "bin", "python")
        finally:
            os.environ.pop("XDG_CACHE_HOME") if before is None else os.environ.update(XDG_CACHE_HOME=before)


def _kernel(site: Path) -> None:
    """Links to the kernel and to what it imports for these questions."""
    import packaging
    import pluggy

    (site / "swift_core").symlink_to(HERE.parent / "swift_core")
    for module in (packaging, pluggy):
        (site / module.__name__).symlink_to(Path(str(module.__file__)).parent)


def _family(site: Path, n: int) -> None:
    """One distribution, as an installer leaves it."""
    (site / f"made{n}").mkdir()
    (site / f"made{n}" / "__init__.py").write_text(CARD.format(n=n))
    info = site / f"made{n}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA.format(n=n))
    (info / "entry_points.txt").write_text(f"[swift_core.models]\nmade{n} = made{n}:card\n")
