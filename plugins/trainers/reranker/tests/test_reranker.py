"""Rerankers against plain computations; what is learnt; columns that are not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from swift_plugin_reranker import listwise, pointwise

from swift_core import SwiftError
from swift_core.testing import TrainerInvariants
from swift_core.testing.contracts import tiny_model
from swift_core.testing.contracts_trainers import build_trainer, unsettle

ROWS = [
    {"query": "What is the answer?", "positive": "The answer is here.", "negative": ["city Paris", "add 1 2"]},
    {"query": "add 1 2", "positive": ["1 2 add", "3"], "negative": "hello world"},
    {"query": "天气怎么样?", "positive": "今天天气很好。", "negative": ["Observation"]},
    {"query": "def add", "positive": "return a + b", "negative": ["北京"]},
]


class TestContract(TrainerInvariants):
    """Runs, saves and resumes; batches do not matter."""

    name = "reranker"
    rows = ROWS


def test_losses_worked_by_hand() -> None:
    """Scores ln 3 for the positive and 0 for two negatives: 3 / 4 pointwise, 3 / 5 listwise."""
    good, bad = torch.tensor([3.0]).log(), torch.zeros(2)
    assert torch.exp(-pointwise(good, bad)).tolist() == pytest.approx([0.75, 0.5, 0.5])
    assert torch.exp(-listwise(good, bad)).tolist() == pytest.approx([0.6])
    assert pointwise(good, bad, 2.0)[0].item() == pytest.approx(2 * pointwise(good, bad)[0].item())


@pytest.mark.parametrize("kind", ["pointwise", "listwise"])
def test_loss_equals_a_plain_computation(kind: str, tmp_path: Path) -> None:
    """Each document alone with its query, unpadded: the head's product with the last hidden state."""
    trainer = build_trainer(tiny_model("qwen2"), ROWS, tmp_path, trainer="reranker", loss_type=kind)
    unsettle(trainer)
    model = trainer.model.eval()
    losses = []
    for group, good in zip(trainer.train_dataset, (1, 2, 1, 1), strict=True):
        scores = []
        for text in group.texts:
            hidden = model.model(input_ids=torch.tensor([text["input_ids"]])).last_hidden_state[0, -1]
            scores.append((model.score.weight[0] @ hidden).item())
        for place, score in enumerate(scores):
            sign = 1 if place < good else -1
            if kind == "pointwise":
                losses.append(torch.log1p(torch.exp(torch.tensor(-sign * score))))
            elif sign == 1:
                losses.append(-torch.tensor([score, *scores[good:]]).log_softmax(0)[0])
    loss = trainer.compute_loss(model, trainer.data_collator(list(trainer.train_dataset)))
    assert loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-4)


def test_positives_rise_to_the_top(tmp_path: Path) -> None:
    told = {"trainer": "reranker", "max_steps": 12, "per_device_train_batch_size": 4, "loss_type": "listwise"}
    trainer = build_trainer(tiny_model("llama"), ROWS, tmp_path, **told)
    trainer.train()
    lines = [line for line in trainer.state.log_history if "mrr" in line]
    assert lines[-1]["mrr"] == 1 and lines[-1]["loss"] < lines[0]["loss"] / 2


@pytest.mark.parametrize(
    ("bad", "told", "message"),
    [
        ({"query": "a"}, {}, "needs documents in the columns positive and negative, found none"),
        ({"query": "a", "positive": "b"}, {"loss_type": "listwise"}, "needs a text in the column negative, found 0"),
        ({"query": "a", "positive": "b", "negative": " "}, {}, "negative must hold texts that are not empty"),
    ],
)
def test_a_bad_row_is_named_or_left_out(bad: Any, told: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(SwiftError, match=rf"rows.jsonl:2: {message}"):
        build_trainer(tiny_model("qwen2"), [ROWS[0], bad], tmp_path, trainer="reranker", **told)
    trainer = build_trainer(tiny_model("qwen2"), [ROWS[0], bad], tmp_path, trainer="reranker", strict=False, **told)
    assert len(trainer.train_dataset) == 1 and "left out 1 rows without documents to rank" in trainer.job.notes[0]
