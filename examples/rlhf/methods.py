"""Every training method on one small model: a held-out figure before and after, in one table, and a plot of each.

    python examples/rlhf/methods.py                        # all methods, nothing is downloaded
    python examples/rlhf/methods.py --only dpo rm ppo      # some of them; figures of earlier runs are kept

A Qwen2-type model of the size of `swift demo`'s starts from random weights and learns from `swift sft` to write numbers
in words, half well (align.py, the task of the demo). Every method goes on from that checkpoint, and
is measured on a hundred numbers that no training has seen. The last three methods read handwritten digits with a
tiny Qwen2-VL (examples/multimodal/digits.py).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from swift_core import run

HERE = Path(__file__).parent
SIZE = {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4, "num_key_value_heads": 4}
SHARED = {"template": "chatml", "tuner": ["full"], "warmup_ratio": 0.1, "weight_decay": 0.0, "logging_steps": 2}
PAIRS = {"per_device_train_batch_size": 16, "per_device_eval_batch_size": 50, "learning_rate": 1e-3}
REWARDED = {
    "per_device_train_batch_size": 16,
    "per_device_eval_batch_size": 100,
    "learning_rate": 5e-4,
    "reward": ["accuracy"],
    "how": "exact",
    "num_generations": 8,
    "max_completion_length": 16,
    "micro_batch_size": 128,
    "beta": 0.01,
}
SEEING = {"freeze_vit": False, "freeze_aligner": False, "template": "qwen2_vl"}


@dataclass
class Method:
    """One line of the table. figure: the held-out metric. chance: what guessing gives, where that says something.

    rows: which file of rows. changes: options of the job.
    """

    figure: str
    rows: str = "pairs"
    chance: str = ""
    steps: int = 40
    changes: dict[str, Any] = field(default_factory=dict)
    trainer: str = ""
    start: str = "words"


METHODS = {
    "dpo": Method("rewards/margins", changes={**PAIRS, "beta": 0.1, "rpo_alpha": 1.0}),
    "kto": Method("rewards/margins", "labelled", "", 80, {**PAIRS, "beta": 0.1, "learning_rate": 1e-4}),
    "orpo": Method("rewards/margins", changes={**PAIRS, "beta": 1.0}),
    "cpo": Method("rewards/margins", changes={**PAIRS, "beta": 0.1}),
    "simpo": Method("rewards/margins", changes=PAIRS),
    "grpo": Method("reward", changes=REWARDED),
    "rloo": Method("reward", changes=REWARDED),
    "reinforce_plus_plus": Method("reward", changes={**REWARDED, "baseline": True}),
    "ppo": Method("reward", changes={**REWARDED, "num_generations": 8}),
    "gkd": Method(
        "divergence",
        changes={**PAIRS, "lmbda": 0.25, "max_completion_length": 16},
    ),
    "rm": Method("rewards/accuracies", "pairs", "0.500", 200, {**PAIRS, "per_device_train_batch_size": 32}),
    "reranker": Method("accuracy", "documents", "0.250", 80, {**PAIRS, "per_device_train_batch_size": 8}),
    "generative_reranker": Method(
        "accuracy",
        "documents",
        "0.250",
        80,
        {
            **PAIRS,
            "per_device_train_batch_size": 8,
            "loss_type": "listwise",
            "positive_token": "y",
            "negative_token": "n",
            "prompt": "{query} {document}",
        },
    ),
    "embedding": Method("accuracy", "twins", "0.020", 100, {**PAIRS, "per_device_train_batch_size": 32}),
    "seq_cls": Method("accuracy", "classes", "0.100", 60, {**PAIRS, "num_labels": 10}),
    "vl-sft": Method("read right", "pictures", "0.100", 120, {**PAIRS, **SEEING}, "sft", "digits"),
    "vl-dpo": Method("rewards/margins", "pictures", "", 80, {**PAIRS, **SEEING}, "dpo", "digits"),
    "vl-grpo": Method(
        "reward",
        "pictures",
        "0.100",
        60,
        {**REWARDED, **SEEING, "max_completion_length": 4, "learning_rate": 1e-3},
        "grpo",
        "digits",
    ),
}


def sibling(path: Path) -> ModuleType:
    """Another example as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


align = sibling(HERE / "align.py")


def labelled(row: dict[str, Any], n: int, chance: random.Random) -> list[dict[str, Any]]:
    """Right and wrong answers as rows of their own."""
    bad = {"query": row["query"], "response": row["rejected_response"], "label": False}
    return [{"query": row["query"], "response": row["response"], "label": True}, bad]


def documents(row: dict[str, Any], n: int, chance: random.Random) -> list[dict[str, Any]]:
    """The right words among three near misses."""
    others = {align.near_miss(n, chance) for _ in range(30)} - {n}
    negative = [align.words(m) for m in sorted(others)[:3]]
    return [{"query": row["query"], "positive": row["response"], "negative": negative}]


def twins(row: dict[str, Any], n: int, chance: random.Random) -> list[dict[str, Any]]:
    """A number in digits and in words: texts that belong together."""
    return [{"query": str(n), "positive": row["response"]}]


def classes(row: dict[str, Any], n: int, chance: random.Random) -> list[dict[str, Any]]:
    """A number and its last digit."""
    return [{"query": row["query"], "label": n % 10}]


FORMS: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "labelled": labelled,
    "documents": documents,
    "twins": twins,
    "classes": classes,
}


def write_forms(folder: Path) -> None:
    """The pairs of align.py in every form that a method needs, as FORM-train.jsonl and FORM-held.jsonl."""
    files = dict(zip(("train", "held"), align.write_rows(folder), strict=True))
    chance = random.Random(1)
    for part, file in files.items():
        rows = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
        shutil.copy(file, folder / f"pairs-{part}.jsonl")
        for name, form in FORMS.items():
            made = [new for row in rows for new in form(row, int(row["query"].split()[1]), chance)]
            write(folder / f"{name}-{part}.jsonl", made)


def write(file: Path, rows: list[dict[str, Any]]) -> str:
    """Rows as JSONL."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def prepare_words(folder: Path) -> None:
    """The rows, the model that every method on text starts from, and the better one that teaches."""
    write_forms(folder)
    train = str(folder / "pairs-train.jsonl")
    student = align.start(folder, train, 60, SIZE, 1e-3)
    shutil.copytree(student, folder / "start-words")
    run(
        "sft", model=student, dataset=[train], output_dir=str(folder / "teacher"), max_steps=120, learning_rate=2e-3,
        per_device_train_batch_size=32, save_strategy="no", **SHARED,
    )  # fmt: skip


def prepare_digits(folder: Path) -> None:
    """Pictures of digits with a wrong answer beside the right one, and a model that has begun to read them."""
    digits = sibling(HERE.parent / "multimodal" / "digits.py")
    shutil.rmtree(folder / "digits", ignore_errors=True)
    files = dict(zip(("train", "held"), digits.write_rows(folder / "digits", 1000), strict=True))
    for part, file in files.items():
        rows = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
        for n, row in enumerate(rows):
            row["rejected_response"] = str((int(row["response"]) + 1 + n % 9) % 10)
        write(folder / f"pictures-{part}.jsonl", rows[:200] if part == "held" else rows)
    shutil.copytree(digits.learn(folder / "digits", str(folder / "pictures-train.jsonl"), 6), folder / "start-digits")


PREPARED = {"words": prepare_words, "digits": prepare_digits}


def learn(folder: Path, name: str, steps: int | None = None) -> dict[str, Any]:
    """Train one method; its held-out figure before the first step and after the last."""
    method = METHODS[name]
    told = {**SHARED, **method.changes}
    if name == "gkd":
        told["teacher_model"] = str(max((folder / "teacher").glob("checkpoint-*"), key=lambda p: p.name))
    count, output = steps or method.steps, folder / name
    shutil.rmtree(output, ignore_errors=True)
    started = time.process_time()
    run(
        "train", trainer=method.trainer or name, model=str(folder / f"start-{method.start}"), output_dir=str(output),
        dataset=[str(folder / f"{method.rows}-train.jsonl")], val_dataset=[str(folder / f"{method.rows}-held.jsonl")],
        max_steps=count, eval_steps=count, save_steps=count, save_strategy="steps", save_total_limit=1,
        training_args={"eval_on_start": True}, **told,
    )  # fmt: skip
    lines = [json.loads(line) for line in (output / "logging.jsonl").read_text(encoding="utf-8").splitlines()]
    held = [line[f"eval_{method.figure}"] for line in lines if f"eval_{method.figure}" in line]
    if name == "vl-sft":
        held = [read_right(folder, c) for c in (folder / "start-digits", output / f"checkpoint-{count}")]
    found = {"figure": method.figure, "before": held[0], "after": held[-1], "chance": method.chance}
    return {**found, "steps": count, "seconds": round(time.process_time() - started)}


def read_right(folder: Path, checkpoint: Path) -> float:
    """The share of held-out digits that a checkpoint reads right."""
    digits = sibling(HERE.parent / "multimodal" / "digits.py")
    share: float = digits.read(folder, str(checkpoint), str(folder / "pictures-held.jsonl"))
    return share


def show(found: dict[str, dict[str, Any]]) -> str:
    """The table in Markdown."""
    lines = [
        "| method | held-out figure | chance | before | after | steps | CPU seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, f in found.items():
        told = f"{f['chance']} | {f['before']:.3f} | {f['after']:.3f} | {f['steps']} | {f['seconds']}"
        lines.append(f"| {name} | {f['figure']} | {told} |")
    return "\n".join(lines)


def plot(folder: Path, found: dict[str, dict[str, Any]]) -> Path:
    """Every method's figure over its steps, as seen in training, and on held-out rows at both ends."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from swift_plugin_runtime.training.plots import read_series

    columns = 4
    rows = -(-len(found) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(3.4 * columns, 2.4 * rows), squeeze=False)
    for axis, (name, f) in zip(axes.flat, found.items(), strict=False):
        points = read_series(folder / name / "logging.jsonl").get(f["figure"], [])
        axis.plot([p[0] for p in points], [p[1] for p in points], alpha=0.7, label="training")
        axis.plot([0, f["steps"]], [f["before"], f["after"]], "o", label="held out")
        axis.set_title(f"{name}: {f['figure']}", fontsize=9)
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(found) :]:
        axis.remove()
    axes.flat[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(folder / "methods.png", dpi=90)
    return folder / "methods.png"


def main() -> None:
    """Train, print the table, draw the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="output/methods", help="Where everything is written.")
    parser.add_argument("--only", nargs="*", choices=list(METHODS), help="These methods alone.")
    parser.add_argument("--steps", type=int, help="Steps of each method, instead of its own number.")
    told = parser.parse_args()
    folder = Path(told.folder)
    folder.mkdir(parents=True, exist_ok=True)
    book = folder / "figures.json"
    found = json.loads(book.read_text()) if book.is_file() else {}
    for name in told.only or METHODS:
        start = METHODS[name].start
        if not (folder / f"start-{start}").is_dir():
            PREPARED[start](folder)
        found[name] = learn(folder, name, told.steps)
        found = {n: found[n] for n in METHODS if n in found}
        book.write_text(json.dumps(found, indent=1))
        print(show({name: found[name]}), flush=True)
    print(f"\n{show(found)}\n\nCurves: {folder}/METHOD/curves.png; all: {plot(folder, found)}")


if __name__ == "__main__":
    main()
