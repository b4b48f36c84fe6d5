"""`python -m benchmarks.startup`: CPU seconds of the commands that users wait for, against `python -c pass`.

Run it in an environment where swift-core and the plugins are installed from wheels: an editable install pays for
finding each of hundreds of source folders.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from benchmarks.measure import alternate, ratios, report, spread


def main() -> None:
    """Alternate the commands and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", help="JSON file for all figures.")
    arguments = parser.parse_args()
    swift = str(Path(sys.executable).with_name("swift"))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "swift --help": [swift, "--help"],
        "swift list models": [swift, "list", "models"],
        "swift show model qwen2": [swift, "show", "model", "qwen2"],
        "resolve an id": [swift, "show", "model", "Qwen/Qwen2.5-7B-Instruct"],
        "swift sft --help": [swift, "sft", "--help"],
    }
    found = alternate(commands, arguments.rounds)
    seconds = {name: [used.seconds for used in runs] for name, runs in found.items()}
    base = seconds["python -c pass"]
    rows = [
        {"command": n, "CPU ms": round(statistics.median(s) * 1000), "x python": spread(ratios(s, base))}
        for n, s in seconds.items()
    ]
    report("Start-up", rows, seconds, arguments.out)


if __name__ == "__main__":
    main()
