"""`python -m benchmarks.memory`: the most memory that `swift sft` holds, against the limit loop, by batch size.

Resident memory of the process on a CPU. Both modes: LoRA and whole weights.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import HERE, alternate, ratios, report, run, spread
from benchmarks.train.__main__ import command


def main() -> None:
    """Alternate the two at every size and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--modes", nargs="*", choices=("lora", "full"), default=["lora", "full"])
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", help="JSON file for all figures.")
    arguments = parser.parse_args()
    rows, raw = [], {}
    with tempfile.TemporaryDirectory() as place:
        run([sys.executable, str(HERE / "train" / "material.py"), place, str(3 * max(arguments.batches))])
        for mode in arguments.modes:
            for batch in arguments.batches:
                found = peaks(Path(place), mode, batch, arguments.rounds)
                raw[f"{mode} {batch}"] = found
                middle = sorted(found["swift"])[len(found["swift"]) // 2]
                ratio = spread(ratios(found["swift"], found["limit"]))
                rows.append({"mode": mode, "batch": batch, "swift MiB": round(middle), "x limit": ratio})
    report("Peak memory", rows, raw, arguments.out)


def peaks(folder: Path, mode: str, batch: int, rounds: int) -> dict[str, list[Any]]:
    """MiB that each contestant held at most, round by round."""
    commands = {name: command(name, folder, mode, batch) for name in ("limit", "swift")}
    found = alternate(commands, rounds, OMP_NUM_THREADS="1")
    return {name: [used.report["peak"] for used in runs] for name, runs in found.items()}


if __name__ == "__main__":
    main()
