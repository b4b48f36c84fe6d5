"""What a training step costs with 512 to 16,384 tokens: a part as the length, attention's as its square."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import HERE, Used, run
from benchmarks.scale.fit import Curve, measured, two_parts

SIZES = [512, 1024, 2048, 4096, 8192, 16384]
STEPS = 6


def curves(largest: int) -> list[Curve]:
    """CPU seconds of a step of `swift sft` on one sequence, and the most memory held."""
    attention = "1 where the matrices weigh most, towards 2 where attention does"
    seconds = Curve("length: step", "tokens", "CPU s", attention)
    memory = Curve(
        "length: peak memory", "tokens", "MiB", "0 to 1: constant libraries and weights, then a line of activations"
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run([sys.executable, str(HERE / "train" / "material.py"), place, "8"])
        _stretch(folder / "model" / "config.json")
        for size in (s for s in SIZES if s <= largest):
            used = _trained(folder, size).report
            measured(seconds, [size], lambda _, u=used: u["steps_seconds"] / (u["steps"] - 1))
            measured(memory, [size], lambda _, u=used: u["peak"])
    linear, square = two_parts(seconds.points)
    print(f"CPU s of a step of n thousand tokens: {linear * 1e3:.3g} n + {square * 1e6:.3g} n²")
    return [seconds, memory]


def _stretch(config: Path) -> None:
    """Let the model take the longest sequence."""
    config.write_text(
        json.dumps({**json.loads(config.read_text(encoding="utf-8")), "max_position_embeddings": SIZES[-1]}),
        encoding="utf-8",
    )


def _trained(folder: Path, size: int) -> Used:
    """One run over rows of about `size` tokens, one to a batch."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(_row(folder, size, n)) + "\n" for n in range(STEPS)))
    return run([sys.executable, str(HERE / "train" / "swift.py"), str(folder), "lora", "1"], OMP_NUM_THREADS="1")


def _row(folder: Path, size: int, number: int) -> dict[str, object]:
    """A question and an answer that fill `size` tokens, a few less for the template's own."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    ids = [(7 * number + 13 * n) % 6000 + 300 for n in range(size - 16)]
    text = tokenizer.decode(ids)
    ids = tokenizer.encode(text, add_special_tokens=False).ids[: size - 16]
    answer = tokenizer.decode(ids)
    return {"messages": [{"role": "user", "content": "ba"}, {"role": "assistant", "content": answer}]}
