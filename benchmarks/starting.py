"""What a job costs until it begins. `python -m benchmarks.starting WHAT FOLDER`, FOLDER as train/material.py wrote it.

Prints the CPU seconds of this process, Python's own start among them, until the model is loaded (bare), Trainer and
PEFT are imported as well (trained), the first optimizer step is due (sft), or one token is answered (infer).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path


def bare(folder: Path) -> float:
    """What any program pays that loads this model with transformers."""
    import torch  # noqa: F401
    import transformers

    transformers.AutoTokenizer.from_pretrained(folder / "model")
    transformers.AutoModelForCausalLM.from_pretrained(folder / "model")
    return time.process_time()


def trained(folder: Path) -> float:
    """What any program pays that trains it with PEFT and transformers' Trainer."""
    import peft  # noqa: F401
    from transformers import Trainer  # noqa: F401

    return bare(folder)


def sft(folder: Path) -> float:
    """`swift sft` on 8 rows."""
    import swift_plugin_runtime.training.trainer  # noqa: F401  as the job does
    import transformers.trainer

    from swift_core.cli import _run

    times: list[float] = []

    class Due(transformers.TrainerCallback):
        def on_pre_optimizer_step(self, *_: object, **__: object) -> None:
            times.append(time.process_time())

    transformers.trainer.DEFAULT_CALLBACKS.append(Due)
    said = ["--dataset", str(folder / "rows.jsonl"), "--output_dir", str(folder / "out"), "--max_steps", "1"]
    _run(["sft", *words(folder), *said])
    return times[0]


def infer(folder: Path) -> float:
    """`swift infer` answers one row with one token."""
    from swift_core.cli import _run

    row = folder / "asked.jsonl"
    row.write_text(json.dumps({"query": "ba be bi"}) + "\n", encoding="utf-8")
    said = ["--dataset", str(row), "--max_new_tokens", "1", "--result_path", str(folder / "answers.jsonl")]
    _run(["infer", *words(folder), *said])
    return time.process_time()


def words(folder: Path) -> list[str]:
    """The options that all jobs here share."""
    return ["--model", str(folder / "model"), "--template", "chatml"]


WHAT: dict[str, Callable[[Path], float]] = {"bare": bare, "trained": trained, "sft": sft, "infer": infer}

if __name__ == "__main__":
    print("\n" + json.dumps({"seconds": WHAT[sys.argv[1]](Path(sys.argv[2]))}))
