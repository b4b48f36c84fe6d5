"""A small model learns to write numbers in words, half well; then preferences and rewards make it better.

    python examples/rlhf/align.py            # two or three minutes on two cores, nothing is downloaded

Supervised fine-tuning stops early, on purpose. From there DPO learns from pairs (the right words and the words of
a number that differs in one digit), and GRPO from nothing but whether its own answers are right. Both are measured
on numbers that no training has seen.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from pathlib import Path

from swift_testing.tiny import tiny_qwen2

from swift_core import run

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
SIZE = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_key_value_heads": 4}
SHARED = {"template": "chatml", "tuner": ["full"], "warmup_ratio": 0.1, "weight_decay": 0.0, "logging_steps": 2}
EVALUATED = {"save_strategy": "steps", "training_args": {"eval_on_start": True}, "save_total_limit": 1}


def words(number: int) -> str:
    """A number below 1000 in English words."""
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10 - 2] + (f"-{ONES[number % 10]}" if number % 10 else "")
    rest = number % 100
    return f"{ONES[number // 100]} hundred" + (f" {words(rest)}" if rest else "")


def near_miss(number: int, chance: random.Random) -> int:
    """The number with one of its digits changed."""
    digits = list(str(number))
    place = chance.randrange(len(digits))
    digits[place] = chance.choice([d for d in "123456789" if d != digits[place]])
    return int("".join(digits))


def write_rows(folder: Path) -> tuple[str, str]:
    """(training file, held-out file): each row holds the right answer and, as the rejected one, a near miss."""
    chance = random.Random(0)
    numbers = list(range(1000))
    chance.shuffle(numbers)
    files = []
    for name, part in [("train", numbers[:900]), ("held", numbers[900:])]:
        rows = [
            {"query": f"Write {n} in words.", "response": words(n), "rejected_response": words(near_miss(n, chance))}
            for n in part
        ]
        file = folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        files.append(str(file))
    return files[0], files[1]


def start(folder: Path, train: str, steps: int, size: dict[str, int] = SIZE, rate: float = 3e-3) -> str:
    """A model of a `size` from random weights after `steps` steps of supervised fine-tuning: right about every other
    time.
    """
    texts = [" ".join(json.loads(line).values()) for line in Path(train).read_text(encoding="utf-8").splitlines()]
    base = tiny_qwen2(folder / "base", [*texts, "system user assistant"], **size)
    done = run(
        "sft", model=base, dataset=[train], output_dir=str(folder / "sft"), max_steps=steps, learning_rate=rate,
        per_device_train_batch_size=32, save_strategy="no", **SHARED,
    )  # fmt: skip
    return done["checkpoint"]


def learn_preferences(folder: Path, model: str, train: str, held: str, steps: int) -> dict[str, list[float]]:
    """DPO from `model`; the held-out figures at its start and end."""
    run(
        "rlhf", rlhf_type="dpo", model=model, dataset=[train], val_dataset=[held], output_dir=str(folder / "dpo"),
        max_steps=steps, eval_steps=steps, save_steps=steps, learning_rate=1e-3, beta=0.1, rpo_alpha=1.0,
        per_device_train_batch_size=16, per_device_eval_batch_size=50, **SHARED, **EVALUATED,
    )  # fmt: skip
    return both_ends(folder / "dpo", ["rewards/margins", "rewards/accuracies", "logps/chosen", "logps/rejected"])


def learn_from_rewards(folder: Path, model: str, train: str, held: str, steps: int) -> dict[str, list[float]]:
    """GRPO from `model`; the held-out figures at its start and end."""
    run(
        "rlhf", rlhf_type="grpo", model=model, dataset=[train], val_dataset=[held], output_dir=str(folder / "grpo"),
        reward=["accuracy"], how="exact", num_generations=8, max_completion_length=16, per_device_train_batch_size=16,
        per_device_eval_batch_size=100, max_steps=steps, eval_steps=steps, save_steps=steps, learning_rate=5e-4,
        beta=0.01, micro_batch_size=128, **SHARED, **EVALUATED,
    )  # fmt: skip
    return both_ends(folder / "grpo", ["reward", "kl", "completions/length"])


def both_ends(folder: Path, names: list[str]) -> dict[str, list[float]]:
    """Each held-out figure of a run's log, before the first step and after the last."""
    lines = [json.loads(line) for line in (folder / "logging.jsonl").read_text(encoding="utf-8").splitlines()]
    held = [line for line in lines if f"eval_{names[0]}" in line]
    return {name: [held[0][f"eval_{name}"], held[-1][f"eval_{name}"]] for name in names}


def align(folder: Path, sft: int = 100, dpo: int = 60, grpo: int = 40) -> dict[str, dict[str, list[float]]]:
    """All three trainings, of so many steps each; the held-out figures of the last two."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train, held = write_rows(folder)
    model = start(folder, train, sft)
    return {
        "dpo": learn_preferences(folder, model, train, held, dpo),
        "grpo": learn_from_rewards(folder, model, train, held, grpo),
    }


def main() -> None:
    """Train and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="output/align", help="Where everything is written; made anew.")
    told = parser.parse_args()
    found = align(Path(told.folder))
    print("\nheld-out figures: before -> after")
    for method, figures in found.items():
        for name, (before, after) in figures.items():
            print(f"  {method} {name}: {before:.3f} -> {after:.3f}")
        print(f"  curves: {Path(told.folder, method, 'curves.png')}")


if __name__ == "__main__":
    main()
