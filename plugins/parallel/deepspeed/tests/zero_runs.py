"""Runs under ZeRO 3 and alone, as the processes of a test call them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


def write(folder: Path, **shape: Any) -> None:
    """A tiny model and eight rows of uneven length in `folder`."""
    from swift_testing.tiny import tiny_qwen2

    tiny_qwen2(folder / "base", tie_word_embeddings=True, **shape)
    words = "one two three four five six seven eight".split()
    said = {n: " ".join(words[:n]) for n in (1, 8, 2, 7, 3, 6, 4, 5)}
    rows = [{"query": f"Count to {n}.", "response": said[n], "rejected_response": said[9 - n]} for n in said]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def learnt(folder: str, name: str, size: int, tuner: str, **more: Any) -> dict[str, Any]:
    """What a run of four steps makes, each of `size` rows a process.

    Losses, lines that the job says, saved weights, and names of the weights that this process gathers to save them.
    """
    from safetensors.torch import load_file

    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare

    given = {
        "model": f"{folder}/base", "dataset": [f"{folder}/rows.jsonl"], "tuner": [tuner], "device": "cpu",
        "output_dir": f"{folder}/{name}", "torch_dtype": "float32", "learning_rate": 1e-3, "warmup_ratio": 0,
        "lr_scheduler_type": "constant", "max_steps": 4, "save_steps": 2, "logging_steps": 1,
        "per_device_train_batch_size": size, **more,
    }  # fmt: skip
    command = "rlhf" if "rlhf_type" in more else "sft"
    job = prepare(command, [Given(key, value, "test") for key, value in given.items()])
    done = job.run()
    losses = [line["loss"] for line in done["trainer"].state.log_history if "loss" in line]
    (file,) = Path(done["checkpoint"]).glob("*model.safetensors")
    with done["trainer"]._whole_model(done["trainer"].model):
        gathered = list(done["trainer"].model.state_dict()) if more.get("deepspeed") and tuner == "lora" else []
    return {"losses": losses, "said": job.notes, "weights": load_file(file), "gathered": gathered}


def apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference between two sets of weights of the same names."""
    assert one.keys() == other.keys()
    return max(float((one[key].float() - other[key].float()).abs().max()) for key in one)


def stop(run: Path, step: int) -> None:
    """Leave of a run what was there when `step` was saved."""
    for folder in run.glob("checkpoint-*"):
        if folder.name != f"checkpoint-{step}":
            shutil.rmtree(folder)
