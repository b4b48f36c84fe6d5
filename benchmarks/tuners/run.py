"""Table 4 of the SWIFT paper, for every installed tuner and optimizer in one run.

    python -m benchmarks.tuners.run                      # a small Qwen2 with random weights, on what is there
    python -m benchmarks.tuners.run --only lora dora     # some of them
    python -m benchmarks.tuners.run --paper              # Qwen-7B's shape with the settings of Table 3, on a GPU

Beside them stand transformers' Trainer with plain PEFT and with whole weights, on the same rows, padded. Each line is
a training job of its own in a fresh copy of one process, so that its peak memory is its own. How to read it:
docs/benchmarks.md.
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
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import import_training
from benchmarks.train.marks import Marks, watch_trainer
from swift_core.catalogue.entries import Catalogue

TUNERS: dict[str, dict[str, Any]] = {
    "peft": {"peft_type": "SHIRA"},
    "trainable_tokens": {"trainable_token_indices": list(range(100, 400))},
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

PAPER = {
    "hidden": 4096, "layers": 32, "vocabulary": 151_936, "rows": 2000, "length": 2048, "batch": 1, "accumulate": 16,
}  # fmt: skip
"""Qwen-7B and the hyper-parameters of Table 3; with them go bfloat16, gradient checkpointing and one rate for all."""

OF_PAPER: dict[str, dict[str, Any]] = {
    "llamapro": {"num_new_blocks": 4},
    "lisa": {"lisa_activated_layers": 2},
    "full + galore": {"galore_rank": 128},
    "full + q_galore": {"galore_rank": 128},
}

RATES = {"whole": 3e-4, "adapter": 2e-3, "tokens": 2e-2}
"""Learning rates for a small random model. With --paper its 5e-5 is taken for all."""

WHOLE = ("full", "freeze", "lisa", "llamapro", "neftune")
TOKENS = ("prompt", "prefix", "ptuning", "trainable_tokens", "ia3", "ln_tuning", "vera", "fourierft", "reft")

COLUMNS = (
    "tuner",
    "train/eval loss",
    "trainable (M)",
    "share",
    "memory (MiB)",
    "samples/s",
    "tokens/s",
    "limit, samples/s",
)


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
    limit: float = 0.0
    error: str = ""

    def cells(self) -> tuple[str, ...]:
        """The line as text."""
        if self.error:
            return (self.name, self.error, *[""] * 6)
        return (
            self.name,
            f"{self.train_loss:.2f} / {self.eval_loss:.2f}",
            f"{self.trainable / 1e6:.3f}",
            f"{self.trainable / self.total:.2%}",
            f"{self.memory:.0f}",
            f"{self.samples:.2f}",
            f"{self.tokens:.0f}",
            f"{self.limit:.1f}",
        )


def jobs(catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    """Name → options of every line: peers, each tuner with AdamW, each optimizer with whole weights or LoRA."""
    found: dict[str, dict[str, Any]] = {
        peer: {"tuner": [tuner], "learning_rate": RATES["whole" if tuner == "full" else "adapter"]}
        for peer, tuner in PEERS.items()
    }
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


def measure(name: str, options: dict[str, Any], folder: str, rate: float) -> Line:
    """One training job. Memory is what it needed at most above what the process held before.

    Speeds are per second on a GPU, and per CPU second elsewhere: other work on the machine does not stretch those.
    """
    import torch

    from swift_core.contract.errors import SwiftError

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    import_training()
    watch_trainer(marks := Marks())
    train = plain_run if name in PEERS else swift_run
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            trainer, lengths, seconds = train(name, options, folder)
            held = trainer.evaluate()["eval_loss"]
    except SwiftError as error:
        return Line(name, error=str(error))
    except Exception as error:  # a line that fails must not end the table
        return Line(name, error=f"{type(error).__name__}: {error}"[:100])
    seconds = seconds if torch.cuda.is_available() else marks.last - marks.start
    logs = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    steps, mean = trainer.state.global_step, sum(lengths) / len(lengths)
    seen = steps * options["per_device_train_batch_size"] * options["gradient_accumulation_steps"] / seconds
    counts = [entries(p) for p in trainer.model.parameters()]
    trained = sum(entries(p) for p in trainer.model.parameters() if trains(p))
    limit = rate / (mean * flops_of_a_token(trainer.model, mean, options["gradient_checkpointing"]))
    last = sum(logs[-3:]) / len(logs[-3:])
    return Line(name, last, held, trained, sum(counts), memory_above(before), seen, seen * mean, limit)


def trains(parameter: Any) -> bool:
    """Whether a parameter changes; Q-GaLore's INT8 weights do without a gradient of their own."""
    return bool(parameter.requires_grad) or str(parameter.dtype) == "torch.int8"


def entries(parameter: Any) -> int:
    """Weights in a parameter: two in each byte of 4-bit layers."""
    return int(parameter.numel()) * (2 if str(parameter.dtype) == "torch.uint8" else 1)


def memory_above(before: int) -> float:
    """MiB at most: allocated by torch on a GPU; of this process above `before` (KiB) on a CPU."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def swift_run(name: str, options: dict[str, Any], folder: str) -> tuple[Any, list[int], float]:
    """(trainer, tokens of each row, seconds of the training loop) of `swift sft`."""
    from swift_core.api import run

    done = run("sft", output_dir=folder, **options)
    trainer = done["trainer"]
    return trainer, [len(row["input_ids"]) for row in trainer.train_dataset.items], done["metrics"]["train_runtime"]


def plain_run(name: str, options: dict[str, Any], folder: str) -> tuple[Any, list[int], float]:
    """The same of transformers' Trainer on the same encoded rows, padded; with PEFT's LoRA or whole weights."""
    import peft
    import transformers

    from swift_core.data.load import load_all
    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare
    from swift_core.jobs.steps import load_model

    ours = {k: v for k, v in options.items() if k not in ("learning_rate", "tuner")}
    job = prepare("sft", [Given(k, v, "benchmark") for k, v in ours.items()])
    model, tokenizer = load_model(job)
    train, held = (
        [
            {"input_ids": row["input_ids"], "labels": row["labels"]}
            for row in job.hook.encode(job=job, rows=load_all(job, options[key]), processor=tokenizer, generation=False)
        ]
        for key in ("dataset", "val_dataset")
    )
    if PEERS[name] == "lora":
        model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=32, target_modules="all-linear"))
    arguments = transformers.TrainingArguments(
        folder, report_to=[], disable_tqdm=True, bf16=options["torch_dtype"] == "bfloat16", lr_scheduler_type="cosine",
        warmup_steps=options["warmup_ratio"], **{key: options[key] for key in SHARED},
    )  # fmt: skip
    collator = transformers.DataCollatorForSeq2Seq(tokenizer)
    trainer = transformers.Trainer(model, arguments, collator, train, held)
    done = trainer.train()
    return trainer, [len(row["input_ids"]) for row in train], done.metrics["train_runtime"]


SHARED = (
    *("max_steps", "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"),
    *("logging_steps", "save_strategy", "weight_decay", "learning_rate", "gradient_checkpointing"),
)
"""Options that ours and transformers' Trainer call by one name."""

PEERS = {"transformers + peft, lora": "lora", "transformers, full": "full"}


def flops_of_a_token(model: Any, length: float, checkpointing: bool) -> float:
    """Products that one trained token cannot do without, 2 a multiplication and addition, in rows of `length`.

    With P entries in matrices, of which T train, and A = 2·length·width·layers of causal attention: 2·P + A
    forward, 2·P + 2·A for gradients of activations, 2·T for those of weights, and the forward pass once more
    under gradient checkpointing. The table of embeddings is looked up, not multiplied.
    """
    config = model.config.get_text_config()
    table = id(model.get_input_embeddings().weight)
    matrices = [p for p in model.parameters() if p.dim() > 1 and id(p) != table]
    whole, trained = sum(map(entries, matrices)), sum(entries(p) for p in matrices if trains(p))
    attention = 2 * length * config.hidden_size * config.num_hidden_layers
    forward = 2 * whole + attention
    return forward * (2 if checkpointing else 1) + 2 * whole + 2 * attention + 2 * trained


def rate_of_products() -> float:
    """Multiplications and additions a second of the machine's best matrix product, in the type that trains.

    On a CPU the time of this thread counts, so that other work on the machine does not make the limit look low.
    """
    import torch
    from swift_plugin_runtime.loading.products import quick_products

    quick_products()  # as in a job
    cuda = torch.cuda.is_available()
    one = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16) if cuda else torch.randn(1024, 1024)
    clock = time.perf_counter if cuda else time.thread_time
    best = float("inf")
    for _ in range(50):
        start = clock()
        one @ one
        if cuda:
            torch.cuda.synchronize()
        best = min(best, clock() - start)
    return 2 * one.shape[0] ** 3 / best


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
    from swift_testing.tiny import tiny_qwen2

    shape = {"hidden_size": arguments.hidden, "num_hidden_layers": arguments.layers}
    heads = {"intermediate_size": arguments.hidden * 11 // 4, "num_attention_heads": max(1, arguments.hidden // 64)}
    heads["num_key_value_heads"] = heads["num_attention_heads"]
    if arguments.vocabulary:
        heads["vocab_size"] = arguments.vocabulary
    words = max(2, arguments.length // 8)
    return {
        "model": tiny_qwen2(folder / "model", **shape, **heads),
        "dataset": [write_data(folder, arguments.rows, words, 1)],
        "val_dataset": [write_data(folder, max(8, arguments.rows // 10), words, 2)],
        "max_steps": arguments.steps,
        "per_device_train_batch_size": arguments.batch,
        "per_device_eval_batch_size": arguments.batch,
        "gradient_accumulation_steps": arguments.accumulate,
        "gradient_checkpointing": arguments.paper,
        "torch_dtype": "bfloat16" if arguments.paper else "float32",
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
    parser.add_argument("--accumulate", type=int, default=1, help="batches of a step")
    parser.add_argument("--vocabulary", type=int, help="tokens; left out: those of a small tokenizer")
    parser.add_argument("--paper", action="store_true", help="Qwen-7B's shape and Table 3's settings")
    arguments = parser.parse_args()
    if arguments.paper:
        vars(arguments).update(PAPER)
    with tempfile.TemporaryDirectory() as place:
        shared = settings(arguments, Path(place))
        rate = rate_of_products()
        print(f"matrix products: {rate / 1e9:.1f} GFLOP/s\n")
        print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
        for name, options in jobs(Catalogue.installed()).items():
            if arguments.only and name not in arguments.only:
                continue
            of_paper = {"learning_rate": 5e-5, **OF_PAPER.get(name, {})} if arguments.paper else {}
            folder = str(Path(place, name.replace(" ", "")))
            line = apart(name, {**shared, **options, **of_paper}, folder, rate)
            print("| " + " | ".join(line.cells()) + " |", flush=True)


if __name__ == "__main__":
    main()
