"""Whole jobs as one process and as several run them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS = "one two three four five six seven eight".split()
ROWS = [
    {
        "query": f"Count to {n}.",
        "response": " ".join(WORDS[:n]),
        "rejected_response": " ".join(WORDS[8 - n :]) + ".",
    }
    for n in (1, 8, 2, 7, 3, 6, 4, 5)
]

TWO, EXPERTS = {"tensor_parallel_size": 2}, {"expert_parallel_size": 2}

CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "full": ("qwen3", {"gradient_accumulation_steps": 2, "split_dataset_ratio": 0.25}, TWO),
    "lora": ("llama", {"tuner": "lora", "gradient_checkpointing": True, "lora_dropout": 0.0}, TWO),
    "dpo": ("qwen3", {"rlhf_type": "dpo"}, TWO),
    "experts": ("qwen3_moe", {}, EXPERTS),
}
"""Case → (family, options of the job, options that share it among two processes)."""

MORE: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "tensor beside experts": ("qwen3_moe", {}, TWO | EXPERTS),
    "products of experts": ("qwen3_moe", {"tuner": "lora", "target_modules": ["q_proj", "o_proj"]}, TWO),
    "copies": ("qwen3", {}, {"fsdp": True, "hsdp": 2}),
}
"""Further cases of two processes, for `make test-parallel`."""

WIDE: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "data by tensor": ("qwen3", {"gradient_accumulation_steps": 2}, TWO),
    "split by tensor": ("qwen3", {}, TWO | {"fsdp": True}),
    "split by tensor, lora": ("llama", {"tuner": "lora"}, TWO | {"fsdp": True}),
    "copies, split": ("qwen3", {}, {"fsdp": True, "hsdp": 2}),
    "copies by tensor": ("qwen3", {}, TWO | {"fsdp": True, "hsdp": 2}),
    "experts in pairs": ("qwen3_moe", {}, EXPERTS),
    "experts among all": ("qwen3_moe", {}, {"expert_parallel_size": 4}),
    "experts in pairs, split": ("qwen3_moe", {}, EXPERTS | {"fsdp": True}),
    "experts among all by tensor": ("qwen3_moe", {}, TWO | {"expert_parallel_size": 4, "fsdp": True}),
    "experts in copies": ("qwen3_moe", {}, EXPERTS | {"fsdp": True, "hsdp": 2}),
    "a picture's model": ("qwen2_vl", {"gradient_checkpointing": True}, TWO | {"fsdp": True}),
}
"""The same for four processes."""


def write(folder: str, families: set[str]) -> None:
    """Tiny checkpoints of families, and the rows, in a folder."""
    from swift_testing.conformance.processors import make_processor
    from swift_testing.conformance.tiny_family import make_tokenizer, write_checkpoint
    from swift_testing.contracts import catalogue

    for family in sorted(families):
        card = catalogue().find("model", family).load()
        text = set(card.modality) == {"text"}
        processor, changes = (make_tokenizer(card), {}) if text else make_processor(card)
        write_checkpoint(card, Path(folder, family), processor, **changes)
    Path(folder, "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")


def steps(case: str, folder: str, name: str, rows: int, own: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Losses of two steps of plain gradient descent and of the evaluation, and the saved weights.

    rows: those of a step's batch that this process sees.
    """
    from safetensors.torch import load_file

    from swift_core.api import run

    family, options, _ = {**WIDE, **MORE, **CASES}[case]
    plain = {
        "model": f"{folder}/{family}", "model_type": family, "dataset": f"{folder}/rows.jsonl", "device": "cpu",
        "output_dir": f"{folder}/{case}-{name}".replace(" ", "-"), "torch_dtype": "float32", "tuner": "full",
        "learning_rate": 0.5, "warmup_ratio": 0, "weight_decay": 0, "lr_scheduler_type": "constant", "max_steps": 2,
        "logging_steps": 1, "save_steps": 2, "training_args": {"optim": "sgd"}, "enable_thinking": False,
        "per_device_train_batch_size": rows, "per_device_eval_batch_size": 2,
    }  # fmt: skip
    done = run("rlhf" if "rlhf_type" in options else "sft", **{**plain, **options, **own, **more})
    log = done["trainer"].state.log_history
    files = sorted(Path(done["checkpoint"]).glob("*.safetensors"))
    return {
        "losses": [line["loss"] for line in log if "loss" in line],
        "norms": [line["grad_norm"] for line in log if "grad_norm" in line],
        "eval": [line["eval_loss"] for line in log if "eval_loss" in line],
        "weights": {key: value for file in files for key, value in load_file(file).items()},
    }


def refused(case: str, folder: str, own: dict[str, Any]) -> str:
    """Why a case cannot be shared in this way."""
    from swift_core.contract.errors import SwiftError

    try:
        steps(case, folder, "refused", 2, own)
    except SwiftError as error:
        return str(error)
    return ""
