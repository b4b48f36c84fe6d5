"""Embeddings against plain computations row by row; what is learnt; columns that are not there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from swift_plugin_runtime.scoring.scorer import Scorer
from swift_plugin_runtime.scoring.texts import text_row
from swift_testing import TrainerInvariants
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import build_trainer, unsettle

from swift_core import SwiftError
from swift_core.contract.errors import TooLong

ROWS = [
    {"query": "What is the answer?", "positive": "The answer is here.", "negative": ["city Paris", "add 7"]},
    {"query": "add 1 2", "positive": ["1 2 add", "3"], "negative": "hello world"},
    {"query": "天气怎么样?", "positive": "今天天气很好。"},
    {"query": "def add", "positive": "return a + b", "negative": ["北京"]},
]
LABELLED = [
    {"query": r["query"], "positive": "city Paris", "label": y} for r, y in zip(ROWS, (1, 0, 1, 0), strict=True)
]


class TestContract(TrainerInvariants):
    """Runs, saves and resumes; without negatives from the batch, batches do not matter."""

    name = "embedding"
    rows = ROWS
    scoring = {"in_batch": False}


def pictured(rows: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """The rows with a picture in each query."""
    Image.effect_noise((56, 84), 80).convert("RGB").save(folder / "a.png")
    return [{**row, "query": f"<image>{row['query']}", "images": [str(folder / "a.png")]} for row in rows]


@torch.no_grad()
def vector(model: Any, text: dict[str, Any], pooling: str) -> torch.Tensor:
    """One unpadded text's unit vector, from the model's own hidden states."""
    inputs = {k: torch.tensor([v]) if isinstance(v, list) else v for k, v in text.items()}
    output = model(**inputs, output_hidden_states=True)
    hidden = output.hidden_states[-1][0]
    pooled = {"last": hidden[-1], "mean": hidden.mean(0), "first": hidden[0]}[pooling]
    return pooled / pooled.norm()


@pytest.mark.parametrize(
    ("in_batch", "pooling", "family"),
    [(True, "last", "qwen2"), (False, "mean", "qwen2"), (True, "first", "qwen2"), (True, "mean", "qwen2_vl")],
)
def test_infonce_equals_a_plain_computation(in_batch: bool, pooling: str, family: str, tmp_path: Path) -> None:
    """arXiv 1807.03748 eq. 4 with cosines over τ, each text alone, pictures with the query."""
    rows = pictured(ROWS, tmp_path) if family == "qwen2_vl" else ROWS
    told = {"trainer": "embedding", "in_batch": in_batch, "pooling": pooling, "temperature": 0.2}
    trainer = build_trainer(tiny_model(family), rows, tmp_path, **told)
    unsettle(trainer)
    trainer.model.eval()
    rows = [[vector(trainer.model, text, pooling) for text in group.texts] for group in trainer.train_dataset]
    losses = []
    for place, (query, *others) in enumerate(rows):
        good = [1, 2, 1, 1][place]
        bad = others[good:] + [v for n, row in enumerate(rows) if n != place and in_batch for v in row[1:]]
        each = []
        for positive in others[:good]:
            powers = [torch.exp(query @ v / 0.2) for v in [positive, *bad]]
            each.append(-torch.log(powers[0] / sum(powers)))
        losses.append(sum(each) / good)
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(list(trainer.train_dataset)))
    assert loss.item() == pytest.approx((sum(losses) / 4).item(), rel=1e-4)


@pytest.mark.parametrize("kind", ["contrastive", "cosine"])
@pytest.mark.parametrize("family", ["qwen2", "qwen2_vl"])
def test_losses_of_labelled_pairs_equal_a_plain_computation(kind: str, family: str, tmp_path: Path) -> None:
    """Hadsell et al. 2006 eq. 4 on 1 - cosine; the squared distance of cosine and label."""
    rows = pictured(LABELLED, tmp_path) if family == "qwen2_vl" else LABELLED
    trainer = build_trainer(tiny_model(family), rows, tmp_path, trainer="embedding", loss_type=kind, margin=1.5)
    unsettle(trainer)
    expected = 0.0
    for group in trainer.train_dataset:
        one, other = (vector(trainer.model.eval(), text, "last") for text in group.texts)
        cosine, label = (one @ other).item(), group.row.label
        if kind == "cosine":
            expected += (cosine - label) ** 2 / 4
        else:
            expected += 0.5 * (label * (1 - cosine) ** 2 + (1 - label) * max(0.0, 1.5 - (1 - cosine)) ** 2) / 4
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(list(trainer.train_dataset)))
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_positives_become_the_nearest(tmp_path: Path) -> None:
    told = {"trainer": "embedding", "max_steps": 12, "per_device_train_batch_size": 4}
    trainer = build_trainer(tiny_model("llama"), ROWS, tmp_path, **told)
    trainer.train()
    lines = [line for line in trainer.state.log_history if "accuracy" in line]
    assert lines[-1]["accuracy"] == 1 and lines[-1]["loss"] < lines[0]["loss"] / 2


@pytest.mark.parametrize(
    ("bad", "told", "message"),
    [
        ({"query": "a"}, {}, "needs a text in the column positive, found 0"),
        ({"query": "a", "positive": ""}, {}, "positive must hold texts that are not empty"),
        ({"query": "a", "positive": "b", "negative": ["c", 3]}, {}, "negative must hold texts that are not empty"),
        ({"query": "a", "positive": 5}, {}, "positive must be a text or a list of texts, found 5"),
        (
            {"query": "a", "positive": "b"},
            {"loss_type": "cosine"},
            "cosine needs a column label from -1 to 1, found None",
        ),
        ({"query": "a", "positive": "b", "label": 2}, {"loss_type": "contrastive"}, "contrastive needs a column label"),
    ],
)
def test_a_bad_row_is_named_or_left_out(bad: Any, told: Any, message: str, tmp_path: Path) -> None:
    rows = [LABELLED[0], bad]
    with pytest.raises(SwiftError, match=rf"rows.jsonl:2: {message}"):
        build_trainer(tiny_model("qwen2"), rows, tmp_path, trainer="embedding", **told)
    trainer = build_trainer(tiny_model("qwen2"), rows, tmp_path, trainer="embedding", strict=False, **told)
    assert len(trainer.train_dataset) == 1 and "left out 1 rows without texts to compare" in " ".join(trainer.job.notes)


def test_a_text_that_is_too_long_is_dropped_with_its_row(tmp_path: Path) -> None:
    rows = [ROWS[2], {"query": "a", "positive": "word " * 80}]
    trainer = build_trainer(tiny_model("qwen2"), rows, tmp_path, trainer="embedding", max_length=60)
    assert len(trainer.train_dataset) == 1 and "1 of 2 training rows longer than 60" in trainer.job.notes[-1]
    cut = build_trainer(
        tiny_model("qwen2"), rows, tmp_path, trainer="embedding", max_length=60, truncation_strategy="right"
    )
    assert [len(text["input_ids"]) for text in cut.train_dataset[1].texts][1] == 60


@pytest.mark.parametrize(
    ("said", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True}, "first"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        (None, "last"),
    ],
)
def test_pooling_is_what_the_checkpoint_says(said: Any, pooling: str, tmp_path: Path) -> None:
    """In training, in the lock of what is saved, and where the published checkpoint itself is asked."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model("qwen2"), folder)
    if said:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(said))
    trainer = build_trainer(str(folder), ROWS, tmp_path / "run", trainer="embedding")
    assert trainer.job.one("trainer").pooling == pooling
    text = trainer.train_dataset[0].texts[0]
    (given,) = Scorer(trainer.job, trainer.model, trainer.processing_class).vectors_of([text])
    assert given == pytest.approx(vector(trainer.model, text, pooling).tolist(), abs=1e-5)


def test_a_pooling_that_we_do_not_have_is_refused(tmp_path: Path) -> None:
    shutil.copytree(tiny_model("qwen2"), tmp_path / "model")
    (tmp_path / "model" / "1_Pooling").mkdir()
    (tmp_path / "model" / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(SwiftError, match="pools by max_tokens, which we do not have: say --pooling"):
        build_trainer(str(tmp_path / "model"), ROWS, tmp_path / "run", trainer="embedding")


def encoder(folder: Path, places: int) -> str:
    """A RoBERTa of random weights with positions for `places` tokens, whose tokenizer states no limit."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model("qwen2"))
    tokenizer.model_max_length = 10**30
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=places + 2, pad_token_id=1, **sizes
    )
    transformers.RobertaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_text_beyond_the_positions_is_cut_dropped_or_named(tmp_path: Path) -> None:
    """RoBERTa counts from behind the padding's row: 66 rows are 64 places (the 65th is an IndexError)."""
    model = encoder(tmp_path / "model", 64)
    told = {"trainer": "embedding", "model_type": "bert_emb", "template": "dummy"}
    rows = [ROWS[2], {"query": "a", "positive": "word " * 80}]
    trainer = build_trainer(model, rows, tmp_path / "drop", **told)
    assert len(trainer.train_dataset) == 1 and "1 of 2 training rows longer than 64 tokens" in trainer.job.notes[-1]
    trainer = build_trainer(model, rows, tmp_path / "cut", truncation_strategy="right", **told)
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(list(trainer.train_dataset)))
    assert torch.isfinite(loss)
    scorer = Scorer(trainer.job, trainer.model, trainer.processing_class)
    with pytest.raises(TooLong, match=r"rows.jsonl:2: the text has \d+ tokens, more than 64, the most that can be"):
        scorer.vectors([text_row(trainer.train_dataset[1].row, "word " * 80)])
    with pytest.raises(SwiftError, match="--max_length 65: the model has positions for 64 tokens"):
        build_trainer(model, rows, tmp_path / "more", max_length=65, **told)
