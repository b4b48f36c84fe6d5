"""sentence-transformers on the rows of the benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PLACES = 512
"""Tokens of a text that both programs read: those that the model has places for. Its files say 256, ours reads on."""


def rows_of(file: str) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]


def settings(folder: Path, asked: Any, batch: int) -> dict[str, Any]:
    """What its training arguments share with ours."""
    return {
        "output_dir": str(folder), "num_train_epochs": asked.epochs, "per_device_train_batch_size": batch,
        "learning_rate": asked.rate, "lr_scheduler_type": "linear", "warmup_steps": 0.1, "weight_decay": 0.0,
        "save_strategy": "no", "logging_steps": 5, "report_to": [], "use_cpu": True, "seed": asked.seed,
    }  # fmt: skip


def embedding(folder: Path, asked: Any) -> tuple[str, Any]:
    """(folder, Trainer) of a model trained with MultipleNegativesRankingLoss, which is InfoNCE in the batch."""
    import datasets
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
        losses,
    )

    learner = SentenceTransformer(asked.model, device="cpu")
    learner.max_seq_length = PLACES
    rows = [{"anchor": row["query"], "positive": row["positive"]} for row in rows_of(asked.train)]
    loss = losses.MultipleNegativesRankingLoss(learner, scale=1 / asked.temperature)
    arguments = SentenceTransformerTrainingArguments(**settings(folder, asked, asked.batch))
    trainer = SentenceTransformerTrainer(learner, arguments, datasets.Dataset.from_list(rows), loss=loss)
    trainer.train()
    learner.save(str(folder / "model"))
    return str(folder / "model"), trainer


def reranker(folder: Path, asked: Any) -> tuple[str, Any]:
    """(folder, Trainer) of a cross-encoder trained with BinaryCrossEntropyLoss."""
    import datasets
    from sentence_transformers.cross_encoder import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
        losses,
    )

    learner = CrossEncoder(asked.model, num_labels=1, device="cpu")
    pairs = [
        {"query": row["query"], "document": text, "label": float(text == row["positive"])}
        for row in rows_of(asked.train)
        for text in (row["positive"], *row["negative"])
    ]
    size = len(pairs) // len(rows_of(asked.train))
    arguments = CrossEncoderTrainingArguments(**settings(folder, asked, asked.batch * size))
    loss = losses.BinaryCrossEntropyLoss(learner)
    trainer = CrossEncoderTrainer(learner, arguments, datasets.Dataset.from_list(pairs), loss=loss)
    trainer.train()
    learner.save_pretrained(str(folder / "model"))
    return str(folder / "model"), trainer
