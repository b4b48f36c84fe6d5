"""SmolLM2-135M-Instruct in bfloat16 and the rows of the task, as every contestant gets them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from benchmarks.train.material import TEMPLATE

WORDS = (
    "river stone window candle garden bread silver mountain paper shadow bridge winter summer apple engine forest "
    "letter music ocean planet road school table uncle village water yellow zebra market night"
).split()


def write(folder: Path, rows: int, held: int) -> str | None:
    """`folder/model`, `rows.jsonl` and `held.jsonl`; the model's folder, None where its packages are not installed."""
    from swift_testing.smollm2 import smollm2

    model = smollm2(folder / "model")
    if model:
        make_readable(folder / "model")
        write_rows(folder / "rows.jsonl", rows, 0)
        write_rows(folder / "held.jsonl", held, 1)
    return model


def write_rows(file: Path, count: int, seed: int) -> None:
    """`count` rows of the task: three words come back in capitals, each with an exclamation mark."""
    chance = random.Random(seed)
    drawn = [chance.sample(WORDS, 3) for _ in range(count)]
    rows = [conversation(f"Shout: {' '.join(w)}", " ".join(f"{x.upper()}!" for x in w)) for w in drawn]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def conversation(question: str, answer: str) -> dict[str, Any]:
    """A row of one round."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def make_readable(model: Path) -> None:
    """Write the checkpoint so that older transformers read the same from it, and with ChatML that marks answers."""
    config = edit(model / "config.json")
    turns = config.get("rope_parameters") or {}
    edit(model / "config.json", torch_dtype="bfloat16", rope_theta=turns.get("rope_theta", config.get("rope_theta")))
    own = {"tokenizer_class": "PreTrainedTokenizerFast", "extra_special_tokens": {}}  # they stand in tokenizer.json
    edit(model / "tokenizer_config.json", chat_template=TEMPLATE, **own)
    (model / "chat_template.jinja").unlink(missing_ok=True)


def edit(file: Path, **more: Any) -> dict[str, Any]:
    """What a JSON file holds, with `more` written into it."""
    found = {**json.loads(file.read_text(encoding="utf-8")), **more}
    file.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found
