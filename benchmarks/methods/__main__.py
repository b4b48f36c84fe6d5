"""`python -m benchmarks.methods`: every method beside plain supervised text by us, by TRL, by ms-swift and by hand.

Same model, pairs, order and precision. Figures are kept one by one in --folder, so that the command begun again goes
on with what is left; losses of the first steps are compared in the same run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.environment import interpreter
from benchmarks.kept import Kept
from benchmarks.measure import HERE, machine, ratios, run, spread, table
from benchmarks.methods.material import DRAWING, PICTURED
from benchmarks.train.__main__ import cost

SCRIPTS = HERE / "methods"
PEERS = {"theirs": "TRL", "ms-swift": "ms-swift"}
"""Contestant → what the table calls it."""
METHODS = ("dpo", "kto", "orpo", "cpo", "rm", "gkd", "grpo", "rloo", "qlora", "sft-pictures", "dpo-pictures")
MS_SWIFT = ("dpo", "kto", "orpo", "cpo", "rm", "gkd", "grpo")
"""Methods that ms-swift has and that run in its environment."""
HERE_TOO = ("qlora", "sft-pictures", "dpo-pictures")
"""Methods for which TRL runs in this environment: its own lacks bitsandbytes and Pillow."""
UNEQUAL = {
    "rm": "each draws its own head",
    "grpo": "each draws its own answers, and rewards differ",
    "rloo": "each draws its own answers, and rewards differ",
}
"""Method → why losses are not compared."""
CLOSE, COMPARED = 0.02, 3
"""Relative difference of losses in bfloat16 that passes, and steps that are compared."""


def contestants(method: str) -> list[str]:
    """Who runs a method."""
    by_hand = not method.endswith(PICTURED)
    return ["ours", "theirs"] + ["ms-swift"] * (method in MS_SWIFT) + ["loop"] * by_hand


def command(name: str, method: str, folder: Path, batch: int) -> list[str]:
    """The command line of a contestant."""
    if name == "ms-swift":
        python, script = interpreter("ms-swift"), SCRIPTS / "apart" / "ms_swift.py"
    else:
        apart = name == "theirs" and method not in HERE_TOO
        python, script = interpreter("trl") if apart else Path(sys.executable), SCRIPTS / f"{name}.py"
    return [str(python), str(script), method, str(folder), str(batch)]


def measured(name: str, method: str, folder: Path, batch: int) -> Any:
    """One run of a contestant: the report of its process."""
    places = [] if name == "ms-swift" else [str(HERE / "train"), str(SCRIPTS), os.environ.get("PYTHONPATH", "")]
    used = run(command(name, method, folder, batch), OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(places))
    return vars(used)


def figures(kept: Kept, method: str, folder: Path, batch: int, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Contestant → its runs, in alternating rounds; those of a contestant that fails are left out, and told of."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants(method)}
    for number in range(rounds):
        for name in list(found):
            try:
                line = kept.once(f"{method} {name} {number}", lambda n=name: measured(n, method, folder, batch))
            except SystemExit as failure:
                print(f"{failure}\n{method}: {name} is left out", file=sys.stderr, flush=True)
                del found[name]
                continue
            found[name].append(line)
    return found


class _Used:
    """A kept run as `cost` reads it."""

    def __init__(self, line: dict[str, Any]):
        self.report = line["report"]


def row(method: str, found: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """The line of a method: our cost, and the others' over ours."""

    def values(name: str, what: Any) -> list[float]:
        return [what(line) for line in found.get(name, [])]

    def over(name: str, what: Any, turned: bool = False) -> str:
        theirs, ours = values(name, what), values("ours", what)
        if not theirs or len(theirs) != len(ours):
            return ""
        return spread(ratios(ours, theirs) if turned else ratios(theirs, ours))

    def drawing(line: dict[str, Any]) -> float:
        """CPU seconds a drawn token."""
        return float(line["report"].get("drawing_seconds", 0)) / line["report"]["tokens"]

    costs, peaks, starts = (
        lambda u: cost(_Used(u)),
        lambda u: u["report"]["peak"],
        lambda u: u["report"]["to_first_step"],
    )
    return {
        "method": method,
        "CPU s per 1k tokens": f"{statistics.median(values('ours', costs)):.2f}",
        **{f"{title} ÷ ours": over(name, costs) for name, title in PEERS.items()},
        "ours ÷ loop": over("loop", costs, turned=True),
        "drawing, TRL ÷ ours": over("theirs", drawing) if method in DRAWING else "",
        "peak MiB": f"{statistics.median(values('ours', peaks)):.0f}",
        **{f"peak, {title} ÷ ours": over(name, peaks) for name, title in PEERS.items()},
        "first step, TRL ÷ ours": over("theirs", starts),
        "losses": losses(method, found),
    }


def losses(method: str, found: dict[str, list[dict[str, Any]]]) -> str:
    """Whether the first steps' losses are ours with everybody; whose are not, and both."""
    if method in UNEQUAL:
        return UNEQUAL[method]
    told = {name: runs[0]["report"]["losses"][:COMPARED] for name, runs in found.items() if runs}
    ours = told.pop("ours")
    others = {name: values for name, values in told.items() if not alike(ours, values)}
    return "; ".join(f"{name} {told_of(values)}, ours {told_of(ours)}" for name, values in others.items()) or "equal"


def alike(ours: list[float], theirs: list[float]) -> bool:
    """Whether losses are the same as far as bfloat16 tells them."""
    return all(abs(a - b) <= CLOSE * abs(b) for a, b in zip(ours, theirs, strict=True))


def told_of(values: list[float]) -> str:
    """Losses in a cell."""
    return " ".join(f"{value:.4f}" for value in values)


def main() -> None:
    """Build the material, run everybody, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--model", choices=("random", "smollm2"), default="random")
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("output/benchmarks/methods"))
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    settings = {"model": asked.model, "pairs": asked.pairs, "batch": asked.batch}
    kept = Kept(asked.folder / f"{asked.model}.json", {**settings, "on": machine()})
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run([sys.executable, "-m", "benchmarks.methods.material", str(folder), asked.model, str(asked.pairs)])
        found = {m: figures(kept, m, folder, asked.batch, asked.rounds) for m in asked.methods}
    lines = table([row(method, runs) for method, runs in found.items() if runs.get("ours")])
    (asked.folder / f"{asked.model}.md").write_text(lines + "\n", encoding="utf-8")
    print(lines)


if __name__ == "__main__":
    main()
