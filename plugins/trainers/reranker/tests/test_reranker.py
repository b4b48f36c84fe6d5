"""Rerankers against plain computations; what is learnt; columns that are not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from swift_plugin_reranker import listwise, pointwise
from swift_plugin_runtime.loading.processor import tokenizer_of
from swift_plugin_runtime.scoring.relevance import Judge
from swift_testing import TrainerInvariants
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import build_trainer, unsettle

from swift_core import SwiftError
from swift_core.contract.row import Row

ROWS = [
    {"query": "What is the answer?", "positive": "The answer is here.", "negative": ["city Paris", "add 1 2"]},
    {"query": "add 1 2", "positive": ["1 2 add", "3"], "negative": "hello world"},
    {"query": "天气怎么样?", "positive": "今天天气很好。", "negative": ["Observation"]},
    {"query": "def add", "positive": "return a + b", "negative": ["北京"]},
]


ASKED = {"positive_token": "a", "negative_token": "b"}
"""Words that are one token of the tiny model."""


class TestContract(TrainerInvariants):
    """Runs, saves and resumes; batches do not matter."""

    name = "reranker"
    rows = ROWS


class TestGenerative(TrainerInvariants):
    """The language model as a judge: the same holds."""

    name = "generative_reranker"
    trajectory = "trajectory_generative.json"
    rows = ROWS
    options = ASKED


def pictured(folder: Path) -> list[dict[str, Any]]:
    """The rows with a picture in each query."""
    Image.effect_noise((56, 56), 80).convert("RGB").save(folder / "a.png")
    return [{**row, "query": f"<image>{row['query']}", "images": [str(folder / "a.png")]} for row in ROWS]


def test_losses_worked_by_hand() -> None:
    """Scores ln 3 for the positive and 0 for two negatives: 3 / 4 pointwise, 3 / 5 listwise."""
    good, bad = torch.tensor([3.0]).log(), torch.zeros(2)
    assert torch.exp(-pointwise(good, bad)).tolist() == pytest.approx([0.75, 0.5, 0.5])
    assert torch.exp(-listwise(good, bad)).tolist() == pytest.approx([0.6])
    assert pointwise(good, bad, 2.0)[0].item() == pytest.approx(2 * pointwise(good, bad)[0].item())


@pytest.mark.parametrize("kind", ["pointwise", "listwise"])
@pytest.mark.parametrize("family", ["qwen2", "qwen2_vl"])
def test_loss_equals_a_plain_computation(kind: str, family: str, tmp_path: Path) -> None:
    """Each document alone with its query, unpadded: the head's product with the last hidden state."""
    rows = pictured(tmp_path) if family == "qwen2_vl" else ROWS
    trainer = build_trainer(tiny_model(family), rows, tmp_path, trainer="reranker", loss_type=kind)
    unsettle(trainer)
    model = trainer.model.eval()
    losses = []
    for group, good in zip(trainer.train_dataset, (1, 2, 1, 1), strict=True):
        scores = []
        for text in group.texts:
            inputs = {k: torch.tensor([v]) if isinstance(v, list) else v for k, v in text.items()}
            hidden = model.model(**inputs).last_hidden_state[0, -1]
            scores.append((model.score.weight[0] @ hidden).item())
        for place, score in enumerate(scores):
            sign = 1 if place < good else -1
            if kind == "pointwise":
                losses.append(torch.log1p(torch.exp(torch.tensor(-sign * score))))
            elif sign == 1:
                losses.append(-torch.tensor([score, *scores[good:]]).log_softmax(0)[0])
    loss = trainer.compute_loss(model, trainer.data_collator(list(trainer.train_dataset)))
    assert loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-4)


@pytest.mark.parametrize("kind", ["pointwise", "listwise"])
@pytest.mark.parametrize("family", ["qwen2", "qwen2_vl"])
def test_odds_of_yes_equal_a_plain_computation(kind: str, family: str, tmp_path: Path) -> None:
    """Each question alone, unpadded: softmax over the vocabulary, log p(yes) - log p(no), then the losses by hand."""
    rows = pictured(tmp_path) if family == "qwen2_vl" else ROWS
    told = {"trainer": "generative_reranker", "loss_type": kind, "instruction": "Find it", **ASKED}
    trainer = build_trainer(tiny_model(family), rows, tmp_path, **told)
    unsettle(trainer)
    model, tokenizer = trainer.model.eval(), tokenizer_of(trainer.processing_class)
    losses = []
    for group, good in zip(trainer.train_dataset, (1, 2, 1, 1), strict=True):
        odds = []
        for text in group.texts:
            inputs = {k: torch.tensor([v]) if isinstance(v, list) else v for k, v in text.items()}
            logps = model(**inputs).logits[0, -1].float().log_softmax(-1)
            odds.append(logps[tokenizer.convert_tokens_to_ids("a")] - logps[tokenizer.convert_tokens_to_ids("b")])
        for place, one in enumerate(odds):
            if kind == "pointwise":
                losses.append(-torch.sigmoid(one if place < good else -one).log())
            elif place < good:
                losses.append(-torch.stack([one, *odds[good:]]).log_softmax(0)[0])
    loss = trainer.compute_loss(model, trainer.data_collator(list(trainer.train_dataset)))
    assert loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-4)
    asked = tokenizer.decode(trainer.train_dataset[0].texts[0]["input_ids"])
    assert "<Instruct>: Find it\n<Query>: " in asked and "<Document>: The answer is here.<|im_end|>" in asked
    assert asked.endswith("<|im_start|>assistant\n")


def test_braces_in_a_document_are_text() -> None:
    """Slots of the prompt are filled once, whatever stands in the texts."""
    said = [{"role": "user", "content": "{document}?"}, {"role": "assistant", "content": "{query}!"}]
    asked = Judge((0, 1), "{query}|{document}|{instruction}", "{query}").question(Row(said))
    assert asked.messages == [{"role": "user", "content": "{document}?|{query}!|{query}"}]


def test_a_word_of_several_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SwiftError, match=r"The word 'yes indeed' is \d+ tokens of this model; say --positive_token"):
        build_trainer(tiny_model("qwen2"), ROWS, tmp_path, trainer="generative_reranker", positive_token="yes indeed")


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
    assert len(trainer.train_dataset) == 1
    assert "left out 1 rows without documents to rank" in " ".join(trainer.job.notes)
