"""The loss over tokens is the formula: text and pictures, padded and end to end, against plain row-by-row passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import build_trainer, unsettle, with_pictures

ROWS = [
    {"query": "What is the answer?", "response": "It is here."},
    {"query": "add 1 2", "response": "3"},
    {"query": "天气怎么样?", "response": "今天天气很好。 Paris city Paris"},
]


@torch.no_grad()
def token_losses(model: Any, row: dict[str, Any]) -> list[float]:
    """-log p of each labelled token of one row, in a pass of its own and from its softmax."""
    inputs = {k: torch.tensor([v]) if isinstance(v, list) else v for k, v in row.items() if k != "labels"}
    odds = model(**inputs).logits[0].double()
    return [
        (odds[n - 1].exp().sum().log() - odds[n - 1, label]).item()
        for n, label in enumerate(row["labels"])
        if n and label != -100
    ]


@pytest.mark.parametrize("padding_free", [True, False])
@pytest.mark.parametrize("family", ["qwen2", "qwen2_vl"])
@pytest.mark.parametrize("name", ["sft", "pt"])
def test_the_loss_is_the_mean_over_all_tokens(name: str, family: str, padding_free: bool, tmp_path: Path) -> None:
    """Of answers (sft) or of everything (pt); each token of the batch counts alike, however long its row is."""
    rows = ROWS
    if family == "qwen2_vl":
        rows = [*with_pictures(ROWS[:2], tmp_path), ROWS[2]]
    told = {"trainer": name, "padding_free": padding_free, **({"loss_scale": "all"} if name == "pt" else {})}
    trainer = build_trainer(tiny_model(family), rows, tmp_path, **told)
    unsettle(trainer)
    trainer.model.eval()
    items = list(trainer.train_dataset)
    expected = [token_losses(trainer.model, item) for item in items]
    lengths = [len(line) for line in expected]
    batch = trainer.data_collator(items)
    assert len(batch["labels"]) == (1 if padding_free else 3)
    loss = trainer.compute_loss(trainer.model, batch).item()
    assert loss == pytest.approx(sum(map(sum, expected)) / sum(lengths), rel=1e-4)
    assert len(set(lengths)) == 3
    whole = [len(item["input_ids"]) - 1 for item in items]
    assert (sum(lengths) < sum(whole) / 2) == (name == "sft")
    if family == "qwen2_vl":
        other = {**batch, "pixel_values": -batch["pixel_values"]}
        assert abs(trainer.compute_loss(trainer.model, other).item() - loss) > 1e-5
