"""`python -m benchmarks.plan`: the memory that `swift plan` predicts, against what the job then holds on a CPU.

A random Qwen2 of 32 million parameters, rows of equal length, two steps. Each job is a process of its own, forked after
all imports; what it holds is its greatest resident memory less what it held when it began.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import HERE, report, run

MIB = 2**20

GRID: list[dict[str, Any]] = [
    {"job": method, "tuner": tuner, "dtype": dtype, "batch": batch, "tokens": tokens}
    for method, tuner, dtype, batch, tokens in (
        ("sft", "full", "float32", 1, 128),
        ("sft", "full", "float32", 4, 512),
        ("sft", "full", "auto", 1, 128),
        ("sft", "full", "auto", 4, 512),
        ("sft", "full", "bfloat16", 1, 128),
        ("sft", "lora", "float32", 1, 512),
        ("sft", "lora", "float32", 4, 512),
        ("sft", "full", "bfloat16", 4, 512),
        ("sft", "lora", "bfloat16", 2, 128),
        ("sft", "lora", "bfloat16", 4, 512),
        ("sft", "dora", "float32", 2, 256),
        ("pt", "full", "float32", 2, 512),
        ("pt", "lora", "float32", 4, 512),
        ("dpo", "full", "float32", 2, 256),
        ("dpo", "full", "bfloat16", 2, 256),
        ("dpo", "lora", "float32", 4, 256),
        ("dpo", "lora", "bfloat16", 2, 512),
        ("kto", "lora", "float32", 4, 256),
        ("orpo", "full", "float32", 2, 256),
        ("rm", "lora", "float32", 2, 256),
    )
]


def main() -> None:
    """Plan and run every job of the grid and print the errors."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan", description=__doc__)
    parser.add_argument("--out", help="JSON file for all figures.")
    parser.add_argument("--only", nargs="*", type=int, help="Numbers of jobs in the grid, from 0; left out: all.")
    asked = parser.parse_args()
    jobs = [GRID[n] for n in asked.only] if asked.only else GRID
    with tempfile.TemporaryDirectory() as place:
        run([sys.executable, str(HERE / "train" / "material.py"), place, "8"])
        found = [measured(Path(place), job) for job in warmed(Path(place), jobs)]
    report("Memory above the imports, MiB", [row(figures) for figures in found], found, asked.out)


def warmed(place: Path, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The jobs, after this process has imported what they import: it runs one of each method on a tiny model."""
    from swift_testing.tiny import tiny_qwen2

    tiny = tiny_qwen2(place / "tiny")
    for job in {job["job"]: job for job in jobs}.values():
        for tuner in ("full", "lora"):
            train(place, tiny, {**job, "tuner": tuner, "dtype": "float32", "tokens": 16})
    return jobs


def measured(place: Path, job: dict[str, Any]) -> dict[str, Any]:
    """The job with what was predicted and what was held, in MiB."""
    model = str(place / "model")
    print(job, file=sys.stderr, flush=True)
    predicted = apart(lambda: predict(place, model, job))
    return {
        **job,
        "predicted": predicted["total"] / MIB,
        "parts": predicted["parts"],
        **apart(lambda: hold(place, model, job)),
    }


def predict(place: Path, model: str, job: dict[str, Any]) -> dict[str, Any]:
    """The memory that `swift plan` says."""
    from swift_plugin_runtime.planning.plan import PlanOptions, planned

    from swift_core.job.options import Given

    name, options = options_of(place, model, job)
    found = planned(name, [Given(key, value, "benchmark") for key, value in options.items()], PlanOptions())
    return vars(found.memory)


def hold(place: Path, model: str, job: dict[str, Any]) -> dict[str, float]:
    """Train, and tell how far resident memory rose."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = resident("VmRSS")
    train(place, model, job)
    return {"held": resident("VmHWM") - before}


def resident(name: str) -> float:
    """A figure of this process's memory in MiB: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def train(place: Path, model: str, job: dict[str, Any]) -> None:
    """Two steps of the job."""
    from swift_core import run as run_job

    name, options = options_of(place, model, job)
    with tempfile.TemporaryDirectory(dir=place) as output:
        run_job(name, **options, output_dir=output)


def options_of(place: Path, model: str, job: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(the command, its options)."""
    file = place / f"{job['job']}-{job['tokens']}.jsonl"
    file.write_text("".join(json.dumps(rows_of(job["job"], job["tokens"], n)) + "\n" for n in range(16)))
    options = {
        "model": model, "device": "cpu", "dataset": [str(file)], "tuner": [job["tuner"]], "max_steps": 2,
        "per_device_train_batch_size": job["batch"], "torch_dtype": job["dtype"], "cache_dataset": False,
    }  # fmt: skip
    if job["job"] != "pt":
        options["template"] = "chatml"
    return (job["job"], options) if job["job"] in ("sft", "pt") else ("rlhf", {**options, "trainer": job["job"]})


def rows_of(method: str, tokens: int, number: int) -> dict[str, Any]:
    """A row of about so many tokens, most of them in the answer."""
    text = " ".join(str((number * 7 + n) % 10) for n in range(tokens // 2))
    if method == "pt":
        return {"text": text}
    more = {"sft": {}, "kto": {"label": number % 2 == 0}}.get(method, {"rejected_response": text[::-1]})
    return {"query": "Go", "response": text, **more}


def apart(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` returns in a process of its own. Raises SystemExit where it fails."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            os.write(write, json.dumps(work()).encode())
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    if not said:
        raise SystemExit("the job failed; its error stands above")
    return dict(json.loads(said))


def row(figures: dict[str, Any]) -> dict[str, str]:
    """A row of the table."""
    error = figures["predicted"] / figures["held"] - 1
    shown = {key: str(figures[key]) for key in ("job", "tuner", "dtype", "batch", "tokens")}
    return {
        **shown,
        "predicted": f"{figures['predicted']:.0f}",
        "held": f"{figures['held']:.0f}",
        "error": f"{error:+.0%}",
    }


if __name__ == "__main__":
    main()
