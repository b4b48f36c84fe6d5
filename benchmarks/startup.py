"""`python -m benchmarks.startup`: CPU seconds of the commands that users wait for, against `python -c pass`.

Run it in an environment where swift-core and the plugins are installed from wheels: an editable install pays for
finding each of hundreds of source folders.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import HERE, alternate, ratios, report, run, spread
from benchmarks.starting import WHAT
from benchmarks.train.material import MODELS, REAL


def main() -> None:
    """Alternate the commands and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    jobs_help = "Until work begins, instead: a step, a token, a server, with each of these models."
    parser.add_argument("--jobs", nargs="*", choices=[REAL, *MODELS], help=jobs_help)
    parser.add_argument("--out", help="JSON file for all figures.")
    arguments = parser.parse_args()
    if arguments.jobs is None:
        commands(arguments.rounds, arguments.out)
    else:
        jobs(arguments.jobs or [REAL, *MODELS], arguments.rounds, arguments.out)


def jobs(models: list[str], rounds: int, out: str | None) -> None:
    """CPU seconds of a job until its work begins, against a bare script that loads the same model."""
    raw = {model: started(model, rounds) for model in models}
    report("Until work begins", [row for model in models for row in lines(model, raw[model])], raw, out)


def started(model: str, rounds: int) -> dict[str, list[float]]:
    """The seconds of each start with one model, round by round."""
    with tempfile.TemporaryDirectory() as place:
        run([sys.executable, str(HERE / "train" / "material.py"), place, "24", model])
        found = alternate({what: [sys.executable, "-m", "benchmarks.starting", what, place] for what in WHAT}, rounds)
    return {name: [used.report["seconds"] for used in runs] for name, runs in found.items()}


def lines(model: str, seconds: dict[str, list[float]]) -> list[dict[str, str]]:
    """A row of the table for each start."""
    return [
        {
            "model": model,
            "until": f"{WHAT[name].__doc__}".splitlines()[0],
            "CPU s": f"{statistics.median(s):.2f}",
            "x bare": spread(ratios(s, seconds["bare"])),
            "x bare with Trainer and PEFT": spread(ratios(s, seconds["trained"])),
        }
        for name, s in seconds.items()
    ]


def commands(rounds: int, out: str | None) -> None:
    """CPU time of commands, against an empty Python."""
    swift = str(Path(sys.executable).with_name("swift"))
    asked = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "swift --help": [swift, "--help"],
        "swift list models": [swift, "list", "models"],
        "swift show model qwen2": [swift, "show", "model", "qwen2"],
        "resolve an id": [swift, "show", "model", "Qwen/Qwen2.5-7B-Instruct"],
        "swift sft --help": [swift, "sft", "--help"],
    }
    found = alternate(asked, rounds)
    seconds = {name: [used.seconds for used in runs] for name, runs in found.items()}
    base = seconds["python -c pass"]
    rows = [
        {"command": n, "CPU ms": round(statistics.median(s) * 1000), "x python": spread(ratios(s, base))}
        for n, s in seconds.items()
    ]
    report("Start-up", rows, seconds, out)


if __name__ == "__main__":
    main()
