"""Settings to begin with: per task, and per memory of the device. Data; every value is an option's."""

from __future__ import annotations

from typing import Any

TASKS: dict[str, dict[str, dict[str, Any]]] = {
    "sft": {
        "LoRA": {"tuner": ["lora"], "learning_rate": 1e-4, "num_train_epochs": 3.0},
        "QLoRA, 4 bits": {"tuner": ["lora"], "quantizer": "bnb", "learning_rate": 1e-4, "num_train_epochs": 3.0},
        "Full fine-tuning": {"tuner": ["full"], "learning_rate": 1e-5, "num_train_epochs": 3.0},
    },
    "pt": {"Continued pre-training": {"tuner": ["full"], "learning_rate": 1e-5, "packing": True}},
    "rlhf": {
        "DPO": {"trainer": "dpo", "learning_rate": 5e-6},
        "KTO": {"trainer": "kto", "learning_rate": 5e-6},
        "ORPO": {"trainer": "orpo", "learning_rate": 8e-6},
        "SimPO": {"trainer": "simpo", "learning_rate": 1e-6},
        "GRPO, accuracy": {"trainer": "grpo", "reward": ["accuracy"], "learning_rate": 1e-6},
        "Reward model": {"trainer": "rm", "learning_rate": 1e-5},
    },
}
"""Job → name of the preset → options."""

SMALL = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 16, "gradient_checkpointing": True}
MIDDLE = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 8, "gradient_checkpointing": True}
LARGE = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "gradient_checkpointing": False}

MEMORY: dict[str, dict[str, Any]] = {
    "8 GiB": SMALL,
    "16 GiB": SMALL,
    "24 GiB": MIDDLE,
    "48 GiB": MIDDLE,
    "80 GiB": LARGE,
}
"""Memory of one device → options of training to begin with there; `swift plan` says whether the job fits."""


def gib_of(memory: str | None) -> int:
    """The number in a key of `MEMORY`; 0 where none is chosen."""
    return int(memory.partition(" ")[0]) if memory else 0
