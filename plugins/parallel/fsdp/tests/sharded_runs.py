"""Runs whose checkpoints are written in shards, as the processes of a test call them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


def write(folder: Path) -> None:
    """A tiny model and four rows of uneven length in `folder`."""
    from swift_testing.tiny import tiny_qwen2

    tiny_qwen2(folder / "base", tie_word_embeddings=True)
    words = "one two three four five six seven eight".split()
    rows = [{"query": f"Count to {n}.", "response": " ".join(words[:n])} for n in (1, 8, 2, 7, 3, 6, 4, 5)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def losses(folder: str, name: str, size: int, **more: Any) -> list[float]:
    """The losses that a run of four steps logs, each of `size` rows a process; a checkpoint every two."""
    from swift_core.api import run

    plain = {
        "model": f"{folder}/base", "dataset": f"{folder}/rows.jsonl", "tuner": "full", "device": "cpu",
        "output_dir": f"{folder}/{name}", "torch_dtype": "float32", "learning_rate": 1e-3, "warmup_ratio": 0,
        "lr_scheduler_type": "constant", "max_steps": 4, "save_steps": 2, "logging_steps": 1,
        "per_device_train_batch_size": size,
    }  # fmt: skip
    done = run("sft", **{**plain, **more})
    return [line["loss"] for line in done["trainer"].state.log_history if "loss" in line]


def stopped(folder: Path, name: str, step: int, other: str) -> None:
    """A copy of a run as it was when `step` was saved, and no later checkpoint."""
    (folder / other).mkdir()
    shutil.copytree(folder / name / f"checkpoint-{step}", folder / other / f"checkpoint-{step}")
