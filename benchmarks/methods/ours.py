"""swift-core as a user runs it: `swift rlhf --rlhf_type METHOD`. `python ours.py METHOD FOLDER BATCH`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from marks import Marks, watch_trainer
from material import DRAWING, PICTURED, answered, chat, model_of, picture, prompts, read, real_tokens

MARKS = Marks()

SHARED: dict[str, Any] = {
    "template": "chatml", "tuner": ["lora"], "num_train_epochs": 1, "dataset_shuffle": False, "logging_steps": 1,
    "learning_rate": 1e-4, "warmup_ratio": 0.0, "weight_decay": 0.0, "adam_beta2": 0.999,
}  # fmt: skip
DRAWN = {"num_generations": 8, "max_completion_length": 32, "beta": 0.04, "reward": ["repetition"]}
OPTIONS: dict[str, dict[str, Any]] = {
    "grpo": DRAWN,
    "rloo": {**DRAWN, "micro_batch_size": 8},
    "gkd": {"lmbda": 0.0},
    "qlora": {"quantizer": "bnb", "bnb_4bit_compute_dtype": "float32"},
    **{name + PICTURED: {"torch_dtype": "float32", "template": "qwen2_vl"} for name in ("sft", "dpo")},
}
"""Method → options of its own."""


def rows(method: str, folder: Path) -> list[dict[str, Any]]:
    """The pairs as rows of our data format."""
    if method in DRAWING:
        return [{"query": row["prompt"]} for row in prompts(folder)]
    if method == "kto":
        return [{"messages": chat(row, answered(row)), "label": row["label"]} for row in read(folder)]
    single, pictured = method in ("gkd", "qlora", "sft-pictures"), method.endswith(PICTURED)
    return [
        {"messages": chat({**row, "prompt": "<image>" + row["prompt"]} if pictured else row)}
        | ({} if single else {"rejected_response": row["rejected"]})
        | ({"images": [str(picture(folder, number))]} if pictured else {})
        for number, row in enumerate(read(folder))
    ]


def main(method: str, folder: Path, batch: int) -> None:
    """One pass over the rows."""
    import swift_plugin_runtime.training.trainer  # noqa: F401  as the job does; the Trainer that is watched comes with it

    watch_trainer(MARKS)
    from swift_plugin_runtime.rollouts import policy

    from swift_core import run

    MARKS.watch_drawing(policy, "roll_out")

    options = {**SHARED, **OPTIONS.get(method, {}), "per_device_train_batch_size": batch}
    if method in DRAWING:
        options["per_device_train_batch_size"] = 2
    if method == "gkd":
        options["teacher_model"] = str(folder / "teacher")
    kind = method.removesuffix(PICTURED)
    command = ("sft", {}) if kind in ("qlora", "sft") else ("rlhf", {"rlhf_type": kind})
    with tempfile.TemporaryDirectory() as output:
        data = Path(output, "rows.jsonl")
        data.write_text("".join(json.dumps(row) + "\n" for row in rows(method, folder)), encoding="utf-8")
        model = str(model_of(method, folder))
        done = run(command[0], model=model, dataset=[str(data)], output_dir=f"{output}/run", **command[1], **options)
        tell(method, folder, done["trainer"])


def tell(method: str, folder: Path, trainer: Any) -> None:
    """The report: tokens, steps, losses; of drawn answers their tokens."""
    history = [line for line in trainer.state.log_history if "loss" in line]
    tokens = real_tokens(method, folder, trainer.processing_class)
    if "completions/length" in history[0]:
        tokens = round(sum(line["completions/length"] for line in history) * 2 * DRAWN["num_generations"])
    MARKS.tell(tokens=tokens, steps=trainer.state.global_step, losses=[line["loss"] for line in history])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
