"""A training step on one row of 65,536 tokens that two processes share, by a model as small as the demo's.

    python examples/long/run.py                  # long on a CPU: attention's work grows with the square of the tokens
    python examples/long/run.py --tokens 2048    # half a minute of a core; nothing is downloaded

`--sequence_parallel_size 2` gives each process half of the row's tokens; only attention looks at all of them
(docs/scaling.md). What a process keeps for the backward pass is half of what one process would keep alone, and the loss
is the same: `--processes 1` shows both. The last line tells the loss, and the most memory that a process took (Linux).
"""

from __future__ import annotations

import argparse
import json
import random
import resource
from pathlib import Path
from typing import Any

from swift_testing.tiny import tiny_qwen2

from swift_core import run

SIZE = {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4, "num_key_value_heads": 4}
WORDS = "the a river mountain city road sees finds crosses old new far near and then under over".split()


def write(folder: Path, tokens: int) -> tuple[str, str]:
    """(model, rows) in `folder`: random weights, and one text of more than so many tokens."""
    model = tiny_qwen2(folder / "base", [" ".join(WORDS)], max_position_embeddings=tokens, **SIZE)
    chance = random.Random(0)
    rows = folder / "rows.jsonl"
    rows.write_text(json.dumps({"text": " ".join(chance.choices(WORDS, k=tokens))}) + "\n", encoding="utf-8")
    return model, str(rows)


def options(folder: Path, tokens: int, processes: int) -> dict[str, Any]:
    """Of a job that makes one step on the first `tokens` tokens of the text."""
    model, rows = write(folder, tokens)
    shared = {"launcher": "torchrun", "nproc_per_node": processes, "sequence_parallel_size": processes}
    return {
        "model": model,
        "dataset": rows,
        "output_dir": str(folder / f"of-{processes}"),
        "max_length": tokens,
        "truncation_strategy": "right",
        "per_device_train_batch_size": 1,
        "tuner": "full",
        "device": "cpu",
        "torch_dtype": "float32",
        "learning_rate": 1e-4,
        "max_steps": 1,
        "logging_steps": 1,
        **(shared if processes > 1 else {}),
    }


def most_memory() -> float:
    """MiB that the largest process took at most: this one, or one that it started and that ended."""
    asked = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(who).ru_maxrss for who in asked) / 1024


def main() -> None:
    """Make the step, and print its loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=65536, help="Tokens of the row.")
    parser.add_argument("--processes", type=int, default=2, help="Processes that share it.")
    parser.add_argument("--folder", default="long-row", help="Where everything is written.")
    arguments = parser.parse_args()
    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    job = options(folder, arguments.tokens, arguments.processes)
    run("pt", **job)
    lines = (Path(job["output_dir"]) / "logging.jsonl").read_text(encoding="utf-8").splitlines()
    loss = next(line["loss"] for line in map(json.loads, lines) if "loss" in line)
    done = f"{arguments.tokens} tokens, {arguments.processes} processes: loss {loss:.5f}"
    print(f"{done}, at most {most_memory():.0f} MiB in a process")


if __name__ == "__main__":
    main()
