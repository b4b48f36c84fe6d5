"""One program trains: `python -m benchmarks.embedding.contestant NAME TASK FOLDER SETTINGS`, SETTINGS as JSON.

Its last line is its report. Tokens are those of the texts that both programs read, without padding.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.embedding import peers
from benchmarks.train.marks import Marks, watch_trainer

MARKS = Marks()


def ours(task: str, folder: Path, asked: Any) -> tuple[str, Any]:
    """(checkpoint, Trainer) of `swift sft --trainer embedding` or `reranker`."""
    from swift_core import run

    kind, own = "bert", {"positive_weight": 1.0}
    if task == "embedding":
        kind, own = "bert_emb", {"temperature": asked.temperature}
    done = run(
        "sft", trainer=task, model=asked.model, model_type=kind, dataset=[asked.train], tuner=["full"],
        torch_dtype="float32", device="cpu", learning_rate=asked.rate, num_train_epochs=asked.epochs,
        per_device_train_batch_size=asked.batch, gradient_accumulation_steps=1, lr_scheduler_type="linear",
        warmup_ratio=0.1, weight_decay=0.0, save_strategy="no", logging_steps=5, output_dir=str(folder),
        seed=asked.seed, data_seed=asked.seed, **own,
    )  # fmt: skip
    return done["checkpoint"], done["trainer"]


def theirs(task: str, folder: Path, asked: Any) -> tuple[str, Any]:
    """The same of sentence-transformers."""
    learn: Callable[..., tuple[str, Any]] = getattr(peers, task)
    return learn(folder, asked)


def tokens(task: str, asked: Any) -> int:
    """Tokens of the texts that are read in all epochs: a reranker reads the query beside each document."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(asked.model)
    texts = [
        (row["query"], text) if task == "reranker" else text
        for row in peers.rows_of(asked.train)
        for text in (*([] if task == "reranker" else [row["query"]]), row["positive"], *row.get("negative", []))
    ]
    found = tokenizer(texts, truncation=True, max_length=peers.PLACES)
    return round(sum(map(len, found["input_ids"])) * asked.epochs)


def main() -> None:
    """Train, and tell what it cost."""
    name, task, folder, given = sys.argv[1:]
    asked = SimpleNamespace(**json.loads(given))
    if name == "swift-core":
        import swift_plugin_runtime.scoring.trainer  # noqa: F401  as the job does; the Trainer comes with it
    watch_trainer(MARKS)
    checkpoint, trainer = (ours if name == "swift-core" else theirs)(task, Path(folder), asked)
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    told = {"tokens": tokens(task, asked), "steps": trainer.state.global_step, "checkpoint": checkpoint}
    MARKS.tell(**told, loss=sum(losses) / len(losses))


if __name__ == "__main__":
    main()
