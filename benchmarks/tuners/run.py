"""Table 4 of the SWIFT paper, for every installed tuner and optimizer in one run.

    python -m benchmarks.tuners.run                      # a small Qwen2 with random weights, on what is there
    python -m benchmarks.tuners.run --only lora dora     # some of them
    python -m benchmarks.tuners.run --hidden 4096 --layers 32 --rows 2000 --length 2048   # the paper's shape

Each line is a training job of its own in a fresh copy of one process, so that its peak memory is its own. How to
read it: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import random
import resource
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.catalogue import Catalogue

TUNERS: dict[str, dict[str, Any]] = {
    "peft": {"peft_type": "SHIRA"},
    "trainable_tokens": {"trainable_token_indices": list(range(100, 600))},
    "loftq": {"quantizer": "bnb"},
    "freeze": {"freeze_parameters_ratio": 0.5},
    "llamapro": {"num_new_blocks": 2},
    "lisa": {"lisa_activated_layers": 1, "lisa_step_interval": 5},
    "boft": {"boft_block_size": 4, "target_modules": ["q_proj", "v_proj"]},
}
"""Options that a tuner cannot do without, or that a small model asks for."""

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "loraplus": {"tuner": ["lora"]},
    "lora_fa": {"tuner": ["lora"]},
    "galore": {"galore_rank": 32},
    "q_galore": {"galore_rank": 32},
    "apollo": {"apollo_rank": 32},
    "schedule_free": {"lr_scheduler_type": "constant"},
    "badam": {"badam_switch_interval": 5},
    "lomo": {"learning_rate": 0.05},
}

RATES = {"whole": 3e-4, "adapter": 2e-3, "tokens": 2e-2}
"""Learning rates for a small random model. With --hidden 4096 the paper's 5e-5 is taken for all."""

WHOLE = ("full", "freeze", "lisa", "llamapro", "neftune")
TOKENS = ("prompt", "prefix", "ptuning", "trainable_tokens", "ia3", "ln_tuning", "vera", "fourierft", "reft")

COLUMNS = ("tuner", "train/eval loss", "trainable (M)", "share", "memory (MiB)", "samples/s", "tokens/s")


@dataclass(frozen=True)
class Line:
    """One line of the table, or why there is none."""

    name: str
    train_loss: float = 0.0
    eval_loss: float = 0.0
    trainable: int = 0
    total: int = 1
    memory: float = 0.0
    samples: float = 0.0
    tokens: float = 0.0
    error: str = ""

    def cells(self) -> tuple[str, ...]:
        """The line as text."""
        if self.error:
            return (self.name, self.error, *[""] * 5)
        return (
            self.name,
            f"{self.train_loss:.2f} / {self.eval_loss:.2f}",
            f"{self.trainable / 1e6:.3f}",
            f"{self.trainable / self.total:.2%}",
            f"{self.memory:.0f}",
            f"{self.samples:.2f}",
            f"{self.tokens:.0f}",
        )


def jobs(catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    """Name → options of every line: each tuner with AdamW, each optimizer with whole weights or LoRA."""
    found: dict[str, dict[str, Any]] = {}
    for entry in catalogue.of_kind("tuner"):
        rate = "whole" if entry.name in WHOLE else "tokens" if entry.name in TOKENS else "adapter"
        found[entry.name] = {"tuner": [entry.name], "learning_rate": RATES[rate], **TUNERS.get(entry.name, {})}
    for entry in catalogue.of_kind("optimizer"):
        given = OPTIMIZERS.get(entry.name, {})
        tuner = given.get("tuner", ["full"])
        rate = RATES["whole" if tuner == ["full"] else "adapter"]
        found[f"{tuner[0]} + {entry.name}"] = {
            "tuner": tuner, "optimizer": entry.name, "learning_rate": rate, **given,
        }  # fmt: skip
    return found


def write_data(folder: Path, count: int, words: int, seed: int) -> str:
    """Sums with their answers, `words` of them a row: something that a model can learn."""
    drawn = random.Random(seed)
    rows = []
    for _ in range(count):
        pairs = [(drawn.randrange(10), drawn.randrange(10)) for _ in range(words)]
        query, answer = " ".join(f"{a}+{b}" for a, b in pairs), " ".join(str(a + b) for a, b in pairs)
        rows.append(json.dumps({"query": query, "response": answer}) + "\n")
    file = folder / f"rows-{seed}.jsonl"
    file.write_text("".join(rows), encoding="utf-8")
    return str(file)


def measure(name: str, options: dict[str, Any], folder: str) -> Line:
    """One training job. Memory is what it needed at most above what the process held before."""
    import torch

    from swift_core.api import run
    from swift_core.errors import SwiftError

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            done = run("sft", output_dir=folder, **options)
            trainer = done["trainer"]
            held = trainer.evaluate()["eval_loss"]
    except SwiftError as error:
        return Line(name, error=str(error))
    except Exception as error:  # a line that fails must not end the table
        return Line(name, error=f"{type(error).__name__}: {error}"[:100])
    logs = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    seconds, steps = done["metrics"]["train_runtime"], trainer.state.global_step
    rows = [len(item["input_ids"]) for item in trainer.train_dataset.items]
    seen = steps * options["per_device_train_batch_size"] * options["gradient_accumulation_steps"]
    if torch.cuda.is_available():
        memory = torch.cuda.max_memory_allocated() / 2**20
    else:
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    counts = [p.numel() for p in trainer.model.parameters()]
    trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    mean = sum(rows) / len(rows)
    last = sum(logs[-3:]) / len(logs[-3:])
    return Line(name, last, held, trained, sum(counts), memory, seen / seconds, seen * mean / seconds)


def _into(pipe: Any, *arguments: Any) -> None:
    pipe.send(measure(*arguments))


def apart(*arguments: Any) -> Line:
    """`measure` in a copy of this process, which starts with everything imported."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_into, args=(theirs, *arguments))
    child.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return Line(arguments[0], error="the process died: out of memory?")
    finally:
        child.join()


def settings(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What all lines share: Table 3 of the paper, fitted to the model's size."""
    from swift_core.testing.tiny import tiny_qwen2

    shape = {"hidden_size": arguments.hidden, "num_hidden_layers": arguments.layers}
    heads = {"intermediate_size": arguments.hidden * 11 // 4, "num_attention_heads": max(1, arguments.hidden // 64)}
    heads["num_key_value_heads"] = heads["num_attention_heads"]
    words = max(2, arguments.length // 8)
    return {
        "model": tiny_qwen2(folder / "model", **shape, **heads),
        "dataset": [write_data(folder, arguments.rows, words, 1)],
        "val_dataset": [write_data(folder, max(8, arguments.rows // 10), words, 2)],
        "max_steps": arguments.steps,
        "per_device_train_batch_size": arguments.batch,
        "per_device_eval_batch_size": arguments.batch,
        "gradient_accumulation_steps": 1,
        "max_length": arguments.length * 2,
        "logging_steps": 1,
        "save_strategy": "no",
        "warmup_ratio": 0.03,
        "weight_decay": 0.01,
    }


def main() -> None:
    """Print the table, line by line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", help="names of lines")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--length", type=int, default=64, help="tokens of a row, about")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        shared = settings(arguments, Path(place))
        print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
        for name, options in jobs(Catalogue.installed()).items():
            if arguments.only and name not in arguments.only:
                continue
            rate = {"learning_rate": 5e-5} if arguments.hidden >= 4096 else {}
            folder = str(Path(place, name.replace(" ", "")))
            line = apart(name, {**shared, **options, **rate}, folder)
            print("| " + " | ".join(line.cells()) + " |", flush=True)


if __name__ == "__main__":
    main()
