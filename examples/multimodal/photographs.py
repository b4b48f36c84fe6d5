"""A tiny Qwen2-VL learns to name and to find things on real photographs, from random weights.

    make .venv/real/.ready && PYTHONPATH=.venv/real python examples/multimodal/photographs.py

The photographs are those that scikit-image ships (skimage.data, BSD-3-Clause and public domain); captions and boxes
are ours. A row is a crop of one of them, at another place, size and brightness, mirrored or not. It asks what the crop
shows and where one thing is. Held-out rows are other crops of the same photographs: what is learnt is to find them
wherever they stand. `guessed` is the score of one box for each thing, its mean over the training
crops, which is what a model could say that does not look. `boxes.png` shows held-out crops.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import shutil
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from grounding import iou, read_box
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from swift_testing.tiny import tiny_qwen2_vl

from swift_core import run
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

Box = list[float]

SIDE = 112
"""Side of a crop in pixels, as it is stored."""
SEEN = 56
"""Side that the model sees: sixteen patches of 14 pixels, four tokens."""
VISION = {"embed_dim": 128, "depth": 3, "num_heads": 8}
SHOWN = 0.8
"""The part of a thing's box that a crop must show."""

PHOTOGRAPHS: dict[str, tuple[str, dict[str, Box]]] = {
    "astronaut.png": (
        "An astronaut in an orange suit.",
        {"face": [155, 17, 302, 190], "shuttle": [352, 0, 453, 280], "helmet": [281, 345, 508, 511]},
    ),
    "camera.png": (
        "A man behind a camera.",
        {"man": [0, 63, 329, 511], "tower": [409, 117, 436, 198], "tripod": [198, 190, 405, 511]},
    ),
    "chelsea.png": (
        "The face of a cat.",
        {"nose": [243, 223, 292, 265], "left eye": [136, 87, 207, 145], "right eye": [294, 109, 342, 165]},
    ),
    "coffee.png": (
        "A cup of coffee on a table.",
        {"cup": [173, 13, 424, 236], "spoon": [325, 222, 407, 323], "saucer": [77, 79, 481, 391]},
    ),
    "horse.png": ("The shape of a horse.", {"horse": [18, 10, 389, 312]}),
    "motorcycle_left.png": (
        "A red motorcycle in a garage.",
        {"front wheel": [517, 273, 682, 446], "rear wheel": [122, 236, 281, 399], "motorcycle": [96, 90, 682, 446]},
    ),
    "rocket.jpg": ("A rocket at night.", {"rocket": [308, 128, 334, 411]}),
}
"""Photograph → its caption, and thing → its box [x1, y1, x2, y2] in the photograph's pixels."""
MIRRORED = {"left eye": "right eye", "right eye": "left eye"}
"""Things that have another name in a mirror."""


def folder_of_photographs() -> Path:
    """Where scikit-image keeps them."""
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        sys.exit("The photographs are scikit-image's: make .venv/real/.ready, and PYTHONPATH=.venv/real.")
    return Path(found.origin).parent / "data"


def crop(picture: Image.Image, things: dict[str, Box], chance: random.Random) -> tuple[Image.Image, dict[str, Box]]:
    """A random part of a photograph as a square of `SIDE` pixels, and the boxes of the things that it shows."""
    while True:
        width, height = (side * chance.uniform(0.45, 1) for side in picture.size)
        x, y = chance.uniform(0, picture.width - width), chance.uniform(0, picture.height - height)
        boxes = {name: within(box, (x, y, x + width, y + height)) for name, box in things.items()}
        seen = {name: box for name, box in boxes.items() if area(box) >= SHOWN * area(things[name])}
        if seen:
            break
    part = picture.crop((round(x), round(y), round(x + width), round(y + height))).resize((SIDE, SIDE))
    part = ImageEnhance.Brightness(part).enhance(chance.uniform(0.7, 1.3))
    scaled = {
        name: [(box[n] - (x, y)[n % 2]) * SIDE / (width, height)[n % 2] for n in range(4)] for name, box in seen.items()
    }
    if chance.random() < 0.5:
        mirrored = {MIRRORED.get(n, n): [SIDE - b[2], b[1], SIDE - b[0], b[3]] for n, b in scaled.items()}
        return ImageOps.mirror(part), mirrored
    return part, scaled


def within(box: Box, frame: tuple[float, ...]) -> Box:
    """The part of a box that lies in a frame; of no area where none does."""
    x1, y1, x2, y2 = (*map(max, box[:2], frame[:2]), *map(min, box[2:], frame[2:]))
    return [x1, y1, max(x1, x2), max(y1, y2)]


def area(box: Box) -> float:
    """Pixels² in a box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def write_rows(folder: Path, name: str, count: int, seed: int) -> str:
    """A data file of `count` crops, each photograph as often as another."""
    chance, source = random.Random(seed), folder_of_photographs()
    pictures = {file: Image.open(source / file).convert("RGB") for file in PHOTOGRAPHS}
    (folder / name).mkdir(parents=True)
    rows = []
    for number in range(count):
        file = list(PHOTOGRAPHS)[number % len(PHOTOGRAPHS)]
        caption, things = PHOTOGRAPHS[file]
        part, boxes = crop(pictures[file], things, chance)
        path = folder / name / f"{number:05}.png"
        part.save(path)
        rows.append(_row(path, caption, *chance.choice(sorted(boxes.items()))))
    return _write(folder / f"{name}.jsonl", rows)


def _write(file: Path, rows: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def _row(picture: Path, caption: str, thing: str, box: Box) -> dict[str, Any]:
    """What is shown, then where one thing is; the thing and its box are taken from `objects`."""
    return {
        "messages": [
            {"role": "user", "content": "<image>What is this?"},
            {"role": "assistant", "content": caption},
            {"role": "user", "content": "Where is the <ref-object>?"},
            {"role": "assistant", "content": "<bbox>"},
        ],
        "images": [str(picture)],
        "objects": {"ref": [thing], "bbox": [box], "bbox_type": "real"},
    }


def learn(folder: Path, train: str, epochs: float) -> dict[str, Any]:
    """What `swift sft` returns, from random weights."""
    texts = [caption for caption, _ in PHOTOGRAPHS.values()]
    texts += [f"What is this? Where is the {thing}?" for _, things in PHOTOGRAPHS.values() for thing in things]
    base = tiny_qwen2_vl(folder / "base", [*texts, "system user assistant"], pixels=(SEEN**2, SEEN**2), vision=VISION)
    return run(
        "sft", model=base, dataset=[train], output_dir=str(folder / "sft"), num_train_epochs=epochs, tuner=["full"],
        freeze_vit=False, freeze_aligner=False, per_device_train_batch_size=32, learning_rate=2e-3, weight_decay=0.01,
        warmup_ratio=0.1, logging_steps=10, save_strategy="no",
    )  # fmt: skip


def ask(checkpoint: str, rows: str, answers: Path) -> tuple[Any, list[dict[str, Any]]]:
    """(the job, the rows with what the model says in their last turn), stored in `answers`."""
    told = {"ckpt_dir": checkpoint, "dataset": [rows], "result_path": str(answers), "max_batch_size": 64}
    job = prepare("infer", [Given(k, v, "Python") for k, v in told.items()])
    return job, job.spec.runner()(job)


def named(folder: Path, checkpoint: str, held: str) -> float:
    """The share of held-out crops whose caption is right to the letter."""
    rows = [json.loads(line) for line in Path(held).read_text(encoding="utf-8").splitlines()]
    first = [{"messages": row["messages"][:2], "images": row["images"]} for row in rows]
    _, records = ask(checkpoint, _write(folder / "captions.jsonl", first), folder / "named.jsonl")
    return fmean(r["response"] == row["messages"][1]["content"] for r, row in zip(records, first, strict=True))


def found(folder: Path, checkpoint: str, held: str) -> list[dict[str, Any]]:
    """The held-out rows with the box that was found, in pixels (None where there is none), and its IoU."""
    job, records = ask(checkpoint, held, folder / "found.jsonl")
    for record in records:
        record["found"] = read_box(job, record["response"], SIDE)
        record["iou"] = iou(record["found"], record["objects"]["bbox"][0]) if record["found"] else 0.0
    return records


def guessed(train: str, held: str) -> float:
    """The mean IoU on held-out rows of each thing's mean box over the training rows."""
    rows = [
        [json.loads(line)["objects"] for line in Path(file).read_text(encoding="utf-8").splitlines()]
        for file in (train, held)
    ]
    boxes: dict[str, list[Box]] = {}
    for thing in rows[0]:
        boxes.setdefault(thing["ref"][0], []).append(thing["bbox"][0])
    usual = {name: [fmean(values) for values in zip(*seen, strict=True)] for name, seen in boxes.items()}
    return fmean(iou(usual[thing["ref"][0]], thing["bbox"][0]) for thing in rows[1])


def show(records: list[dict[str, Any]], file: Path) -> None:
    """A sheet of crops with the true box in white and the found one in magenta."""
    scale, columns = 2, 4
    side = SIDE * scale
    sheet = Image.new("RGB", (columns * side, -(-len(records) // columns) * side), "white")
    for number, record in enumerate(records):
        tile = Image.open(record["images"][0]).resize((side, side))
        pen = ImageDraw.Draw(tile)
        for box, colour in ((record["objects"]["bbox"][0], "white"), (record["found"], "magenta")):
            if box and box[0] <= box[2] and box[1] <= box[3]:
                pen.rectangle([v * scale for v in box], outline=colour, width=2)
        label = f"{record['objects']['ref'][0]}: {record['iou']:.2f}"
        pen.rectangle((0, 0, 8 * len(label), 16), "black")
        pen.text((4, 2), label, "white")
        sheet.paste(tile, (number % columns * side, number // columns * side))
    sheet.save(file)


def main(folder: Path, count: int = 5600, epochs: float = 8) -> tuple[float, float]:
    """Everything, in a fresh `folder`; returns (mean IoU, that of a guess) on held-out crops."""
    shutil.rmtree(folder, ignore_errors=True)
    train, held = write_rows(folder, "train", count, seed=0), write_rows(folder, "held", 210, seed=1)
    done = learn(folder, train, epochs)
    records, captions = found(folder, done["checkpoint"], held), named(folder, done["checkpoint"], held)
    show(records[:20], folder / "boxes.png")
    losses = [line["loss"] for line in done["trainer"].state.log_history if "loss" in line]
    mean, guess = fmean(record["iou"] for record in records), guessed(train, held)
    print(f"loss: {losses[0]:.3f} at first, {losses[-1]:.3f} at last; curve: {folder / 'sft' / 'curves.png'}")
    print(f"held-out captions right: {captions:.0%}; answers: {folder / 'named.jsonl'}")
    print(f"held-out mean IoU: {mean:.3f} (guessed: {guess:.3f}); answers: {folder / 'found.jsonl'}")
    print(f"pictures with boxes: {folder / 'boxes.png'}")
    return mean, guess


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("output/photographs"))
    parser.add_argument("--rows", type=int, default=5600)
    parser.add_argument("--epochs", type=float, default=8)
    arguments = parser.parse_args()
    main(arguments.folder, arguments.rows, arguments.epochs)
