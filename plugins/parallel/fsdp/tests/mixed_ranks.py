"""Steps in which one process has a picture and the other has none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FAMILIES = ("qwen2_vl", "llava1_5_hf")
"""One family of each way in which pictures reach a model: grids and positions along three axes, plain features."""


def write(family: str, folder: Path) -> None:
    """A tiny checkpoint, pictures and rows in `folder`: a picture and text, then the other way round."""
    import numpy as np
    from PIL import Image
    from swift_testing.conformance.processors import make_processor
    from swift_testing.conformance.tiny_family import write_checkpoint
    from swift_testing.contracts import catalogue

    card = catalogue().find("model", family).load()
    processor, changes = make_processor(card)
    write_checkpoint(card, folder / "model", processor, **changes)
    chance = np.random.default_rng(0)
    for number in (0, 1):
        Image.fromarray(chance.integers(0, 256, (112, 112, 3), dtype="uint8")).save(folder / f"{number}.png")
    rows = [_row("<image>What is it?", "A dog.", images=[f"{number}.png"]) for number in (0, 1)]
    rows[1:1] = [_row("What is 1 + 2?", "The answer is 3."), _row("And 2 + 2?", "It is 4.")]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _row(question: str, answer: str, **media: list[str]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **media}


def moved(family: str, folder: str, name: str, size: int, **more: Any) -> dict[str, Any]:
    """The losses of two steps of plain gradient descent, towers included, and the weights that they end with."""
    from safetensors.torch import load_file

    from swift_core.api import run

    plain = {
        "model": f"{folder}/model", "model_type": family, "dataset": f"{folder}/rows.jsonl", "tuner": "full",
        "output_dir": f"{folder}/{name}", "device": "cpu", "torch_dtype": "float32", "learning_rate": 0.1,
        "lr_scheduler_type": "constant", "warmup_ratio": 0, "weight_decay": 0, "max_steps": 2, "logging_steps": 1,
        "save_steps": 2, "training_args": {"optim": "sgd"}, "dataset_shuffle": False, "freeze_vit": False,
        "freeze_aligner": False, "per_device_train_batch_size": size, "enable_thinking": False,
    }  # fmt: skip
    done = run("sft", **{**plain, **more})
    losses = [line["loss"] for line in done["trainer"].state.log_history if "loss" in line]
    files = sorted(Path(done["checkpoint"]).glob("*.safetensors"))
    return {"losses": losses, "weights": {k: v for file in files for k, v in load_file(file).items()}}
