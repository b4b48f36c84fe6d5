"""A tiny Qwen2-VL learns to read handwritten digits, from random weights.

    python examples/multimodal/digits.py     # about a minute on two cores, nothing is downloaded

The pictures are the 1,797 scanned digits of scikit-learn, 8 × 8 pixels each, enlarged to 28 × 28: for Qwen2-VL four
patches of 14 × 14, merged into one token. A fifth of them is held out. Training is `swift sft` with nothing frozen;
the held-out pictures are answered by `swift infer` through the backend transformers.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from pathlib import Path
from typing import Any

from PIL import Image
from sklearn.datasets import load_digits
from swift_testing.tiny import tiny_qwen2_vl

from swift_core import run

QUESTION = "<image>Which digit is this?"
PIXELS = 28
HELD_OUT = 5
"""One row in so many is held out."""


def write_rows(folder: Path, count: int | None = None) -> tuple[str, str]:
    """(training file, held-out file) of the first `count` digits, a PNG for each beside them."""
    digits = load_digits()
    order = list(range(len(digits.images)))[:count]
    random.Random(0).shuffle(order)
    (folder / "pictures").mkdir(parents=True)
    rows = [_row(folder, n, digits.images[n], digits.target[n]) for n in order]
    held = len(rows) // HELD_OUT
    return _write(folder / "train.jsonl", rows[held:]), _write(folder / "held.jsonl", rows[:held])


def _row(folder: Path, number: int, grey: Any, digit: int) -> dict[str, Any]:
    """One row; the scan has 17 shades of grey."""
    path = folder / "pictures" / f"{number:04}.png"
    Image.fromarray((grey * (255 / 16)).astype("uint8")).resize((PIXELS, PIXELS), Image.BICUBIC).save(path)
    return {"query": QUESTION, "response": str(digit), "images": [str(path)]}


def _write(file: Path, rows: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def learn(folder: Path, train: str, epochs: float) -> str:
    """The checkpoint of a model trained on the rows of `train`, from random weights."""
    base = tiny_qwen2_vl(folder / "base", pixels=(PIXELS**2, PIXELS**2))
    done = run(
        "sft", model=base, dataset=[train], output_dir=str(folder / "sft"), num_train_epochs=epochs, tuner=["full"],
        freeze_vit=False, freeze_aligner=False, per_device_train_batch_size=32, learning_rate=2e-3, weight_decay=0.01,
        warmup_ratio=0.1, logging_steps=10, save_strategy="no",
    )  # fmt: skip
    return done["checkpoint"]


def read(folder: Path, checkpoint: str, held: str) -> float:
    """The share of the held-out digits that the model reads right."""
    records = run(
        "infer", ckpt_dir=checkpoint, dataset=[held], result_path=str(folder / "answers.jsonl"), max_new_tokens=4,
        max_batch_size=64,
    )  # fmt: skip
    return sum(r["response"] == r["labels"] for r in records) / len(records)


def main(folder: Path, count: int | None = None, epochs: float = 8) -> float:
    """Everything, in a fresh `folder`; returns the held-out accuracy."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train, held = write_rows(folder, count)
    checkpoint = learn(folder, train, epochs)
    accuracy = read(folder, checkpoint, held)
    print(f"held-out digits read right: {accuracy:.1%}   curves: {folder / 'sft' / 'curves.png'}")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("output/digits"))
    parser.add_argument("--epochs", type=float, default=8)
    arguments = parser.parse_args()
    main(arguments.folder, epochs=arguments.epochs)
