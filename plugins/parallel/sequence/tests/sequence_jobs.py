"""Whole jobs as one process and as two run them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

WORDS = "one two three four five six seven eight".split()
ROWS = [
    {
        "query": f"Count to {n}.",
        "response": " ".join(WORDS[:n]),
        "rejected_response": " ".join(WORDS[8 - n :]) + ".",
        "solution": "3",
    }
    for n in (1, 8, 2, 7, 3, 6, 4, 5)
]

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "sft": ("sft", {}),
    "sft, padded, logits made": ("sft", {"padding_free": False, "fused_loss": "off", "split_dataset_ratio": 0.4}),
    "sft, lora": ("sft", {"tuner": "lora", "gradient_checkpointing": True}),
    "pt": ("pt", {"packing": True, "max_length": 40}),
    "dpo": ("rlhf", {"rlhf_type": "dpo"}),
    "grpo": (
        "rlhf",
        {
            "rlhf_type": "grpo",
            "reward": "soft_overlong",
            "overlong_max_length": 60,
            "overlong_cache": 60,
            "length_unit": "characters",
            "num_generations": 4,
            "max_completion_length": 8,
        },
    ),
}
"""Method → (command, options)."""


def write_rows(folder: str, command: str) -> str:
    """The file of rows for a command; every process writes the same."""
    rows = [{"text": f"{r['query']} {r['response']}"} for r in ROWS] if command == "pt" else ROWS
    file = Path(folder, f"{command}-{os.environ.get('RANK', 'alone')}.jsonl")
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def whole(parameter: Any) -> Any:
    """The values of a weight, also where it is split among the processes."""
    value = parameter.detach()
    return value.full_tensor() if hasattr(value, "full_tensor") else value.clone()


def steps(method: str, base: str, folder: str, name: str, **more: Any) -> dict[str, Any]:
    """Losses of two steps, of the evaluation, and the weights behind them, in plain gradient descent."""
    from swift_core.api import run

    command, own = METHODS[method]
    plain = {
        "model": base, "dataset": write_rows(folder, command), "output_dir": f"{folder}/{name}", "device": "cpu",
        "torch_dtype": "float32", "tuner": "full", "learning_rate": 1.0, "warmup_ratio": 0, "weight_decay": 0,
        "lr_scheduler_type": "constant", "max_grad_norm": 1e9, "max_steps": 2, "logging_steps": 1,
        "training_args": {"optim": "sgd"}, "per_device_train_batch_size": 2, "save_strategy": "no",
    }  # fmt: skip
    if "split_dataset_ratio" in own:
        plain |= {"save_strategy": "steps", "save_steps": 2, "per_device_eval_batch_size": 2}
    trainer = run(command, **{**plain, **own, **more})["trainer"]
    log = trainer.state.log_history
    return {
        "losses": [line["loss"] for line in log if "loss" in line],
        "eval": [line["eval_loss"] for line in log if "eval_loss" in line],
        "weights": {name: whole(p) for name, p in trainer.model.named_parameters() if p.requires_grad},
    }
