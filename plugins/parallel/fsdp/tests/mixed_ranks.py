"""Steps in which one process has a picture and the other has none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FAMILIES = {
    "qwen2_vl": "image",
    "llava1_5_hf": "image",
    "gemma3_vision": "image",
    "llama3_2_vision": "image",
    "qwen2_audio": "audio",
    "qwen2_vl, video": "video",
    "qwen2_5_vl, video": "video",
    "llava_next_video_hf, video": "video",
    "qwen2_vl, both": "image video",
    "llava_next_video_hf, both": "image video",
}
"""One of each way in which media reach a model → its media: grids and positions along three axes, plain features,
attention in both directions within a picture, cross-attention, sound, frames (in windows, pooled), and a picture in one
process while the other has frames."""

COLUMNS = {"image": "images", "video": "videos", "audio": "audios"}


def write(case: str, folder: Path) -> None:
    """A tiny checkpoint, media and rows in `folder`: a medium and text, then the other way round.

    Where a case has two media: one and the other, then text and the first.
    """
    from swift_testing.conformance.libraries import let_torchvision_import
    from swift_testing.conformance.processors import make_processor
    from swift_testing.conformance.tiny_family import write_checkpoint
    from swift_testing.contracts import catalogue

    let_torchvision_import()
    card = catalogue().find("model", family_of(case)).load()
    processor, changes = make_processor(card)
    write_checkpoint(card, folder / "model", processor, **changes)
    text = [_row("What is 1 + 2?", "The answer is 3."), _row("And 2 + 2?", "It is 4.")]
    kinds = FAMILIES[case].split()
    if len(kinds) == 1:
        rows = [_shown(kinds[0], folder, 0), *text, _shown(kinds[0], folder, 1)]
    else:
        first, second = kinds
        rows = [_shown(first, folder, 0), _shown(second, folder, 1), text[0], _shown(first, folder, 2)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _shown(modality: str, folder: Path, number: int) -> dict[str, Any]:
    medium = {COLUMNS[modality]: [_medium(modality, folder, number)]}
    return _row(f"<{modality}>What is it?", "A dog.", **medium)


def family_of(case: str) -> str:
    """The family of a case."""
    return case.partition(",")[0]


def _medium(modality: str, folder: Path, number: int) -> Any:
    """A picture's file, the files of four frames, or the samples of a tenth of a second."""
    import numpy as np
    from PIL import Image

    chance = np.random.default_rng(number)
    if modality == "audio":
        return [round(float(value), 4) for value in chance.standard_normal(1600) / 10]
    files = [f"{number}-{frame}.png" for frame in range(4 if modality == "video" else 1)]
    for file in files:
        Image.fromarray(chance.integers(0, 256, (112, 112, 3), dtype="uint8")).save(folder / file)
    return files if modality == "video" else files[0]


def _row(question: str, answer: str, **media: list[Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **media}


def moved(case: str, folder: str, name: str, size: int, **more: Any) -> dict[str, Any]:
    """The losses of two steps of plain gradient descent, towers included, and the weights that they end with."""
    from safetensors.torch import load_file
    from swift_testing.conformance.libraries import let_torchvision_import

    from swift_core.api import run

    let_torchvision_import()

    plain = {
        "model": f"{folder}/model", "model_type": family_of(case), "dataset": f"{folder}/rows.jsonl", "tuner": "full",
        "output_dir": f"{folder}/{name}", "device": "cpu", "torch_dtype": "float32", "learning_rate": 0.1,
        "lr_scheduler_type": "constant", "warmup_ratio": 0, "weight_decay": 0, "max_steps": 2, "logging_steps": 1,
        "save_steps": 2, "training_args": {"optim": "sgd"}, "dataset_shuffle": False, "freeze_vit": False,
        "freeze_aligner": False, "per_device_train_batch_size": size, "enable_thinking": False,
    }  # fmt: skip
    done = run("sft", **{**plain, **more})
    losses = [line["loss"] for line in done["trainer"].state.log_history if "loss" in line]
    files = sorted(Path(done["checkpoint"]).glob("*.safetensors"))
    return {"losses": losses, "weights": {k: v for file in files for k, v in load_file(file).items()}}
