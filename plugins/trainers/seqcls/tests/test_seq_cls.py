"""Sequence classification against transformers' own losses; labels that are none; what is learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from swift_plugin_seq_cls import multi
from swift_testing import TrainerInvariants
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import assert_same_gradients, build_trainer, gradients, unsettle

from swift_core import SwiftError

ROWS = [
    {"query": "What is the answer?", "label": 0},
    {"query": "add 1 2 3", "label": 2},
    {"messages": [{"role": "user", "content": "天气怎么样?"}, {"role": "assistant", "content": "x"}], "label": 1},
    {"query": "hello", "label": 2},
]
KINDS = {
    "single": (3, [0, 2, 1, 2]),
    "multi": (3, [[0, 2], [], [1], [2]]),
    "regression": (1, [0.5, -1, 2, 0.0]),
    "regression-2": (2, [[0.5, 1], [-1, 0], [2, 2], [0.0, 1]]),
}


class TestContract(TrainerInvariants):
    """Runs, saves and resumes; batches do not matter."""

    name = "seq_cls"
    rows = ROWS
    options = {"num_labels": 3}


def labelled(labels: list[Any]) -> list[dict[str, Any]]:
    """The rows with other labels."""
    return [{**row, "label": label} for row, label in zip(ROWS, labels, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_equal_transformers(kind: str, tmp_path: Path) -> None:
    """transformers' own loss for the problem type in its config, given labels as it wants them."""
    count, labels = KINDS[kind]
    name = kind.partition("-")[0]
    told = {"trainer": "seq_cls", "problem_type": name, "num_labels": count}
    trainer = build_trainer(tiny_model("qwen2"), labelled(labels), tmp_path, **told)
    batch = trainer.data_collator(list(trainer.train_dataset))
    if name == "multi":
        target = torch.tensor([[float(c in classes) for c in range(count)] for classes in labels])
    else:
        target = torch.tensor(labels) if name == "single" else torch.tensor(labels).float()
    model = trainer.model
    assert_same_gradients(
        gradients(model, lambda: trainer.compute_loss(model, batch)),
        gradients(model, lambda: model(**batch["texts"], labels=target, use_cache=False).loss),
    )


def test_loss_on_pictures_equals_a_plain_computation(tmp_path: Path) -> None:
    """-log softmax of the head's product with the last hidden state, each text alone with its picture."""
    Image.effect_noise((56, 84), 80).convert("RGB").save(tmp_path / "a.png")
    rows = [
        {"query": f"<image>{r['query']}", "images": [str(tmp_path / "a.png")], "label": n}
        for n, r in enumerate(ROWS[:2])
    ]
    trainer = build_trainer(tiny_model("qwen2_vl"), rows, tmp_path, trainer="seq_cls", num_labels=3)
    unsettle(trainer)
    model, losses = trainer.model.eval(), []
    for label, group in enumerate(trainer.train_dataset):
        inputs = {k: torch.tensor([v]) if isinstance(v, list) else v for k, v in group.texts[0].items()}
        logits = model.score.weight @ model.model(**inputs).last_hidden_state[0, -1]
        losses.append(-logits.log_softmax(0)[label].item())
    batch = trainer.data_collator(list(trainer.train_dataset))
    assert trainer.compute_loss(model, batch).item() == pytest.approx(sum(losses) / 2, rel=1e-4)
    batch["texts"]["pixel_values"] = -batch["texts"]["pixel_values"]
    assert trainer.compute_loss(model, batch).item() != pytest.approx(sum(losses) / 2, rel=1e-4)


def test_what_is_classified_is_the_question(tmp_path: Path) -> None:
    """An answer in the row is not seen."""
    trainer = build_trainer(tiny_model("qwen2"), ROWS, tmp_path, trainer="seq_cls", num_labels=3)
    decode = trainer.processing_class.decode
    assert decode(trainer.train_dataset[2].texts[0]["input_ids"]).endswith("天气怎么样?<|im_end|>\n")


def test_multi_counts_classes_and_whole_texts() -> None:
    """One of two texts wholly right, three of four classes."""
    _, noted = multi(torch.tensor([[1.0, -1.0], [1.0, 1.0]]), [[0], [0]])
    assert noted["exact"].tolist() == [1, 0] and noted["accuracy"].tolist() == [1, 0.5]


def test_learns_and_saves_a_plain_checkpoint(tmp_path: Path) -> None:
    """transformers alone loads it, with its number of labels, and classifies as the trainer does."""
    import transformers

    trainer = build_trainer(
        tiny_model("llama"), ROWS, tmp_path, trainer="seq_cls", num_labels=3, max_steps=12,
        per_device_train_batch_size=4, val_dataset=[str(tmp_path / "rows.jsonl")],
    )  # fmt: skip
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_loss"] < before["eval_loss"] / 2
    assert trainer.state.log_history[-1]["eval_accuracy"] == 1
    trainer.save_model(str(tmp_path / "saved"))
    again = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    assert again.config.num_labels == 3 and again.config.problem_type == "single_label_classification"
    batch = trainer.data_collator(list(trainer.train_dataset))
    assert again(**batch["texts"]).logits.argmax(1).tolist() == [0, 2, 1, 2]


@pytest.mark.parametrize(
    ("kind", "bad", "wanted"),
    [
        ("single", 3, "a class number from 0 to 2"),
        ("single", True, "a class number from 0 to 2"),
        ("single", None, "a class number from 0 to 2"),
        ("multi", [0, 7], "a list of class numbers from 0 to 2"),
        ("multi", 1, "a list of class numbers from 0 to 2"),
        ("regression", [1, 2], "a list of 3 numbers"),
        ("regression", [1, 2, float("nan")], "a list of 3 numbers"),
    ],
)
def test_a_bad_label_is_named_or_left_out(kind: str, bad: Any, wanted: str, tmp_path: Path) -> None:
    good = {"single": 1, "multi": [1], "regression": [1, 2, 3]}[kind]
    rows = [{"query": "a", "label": good}, {"query": "b", "label": bad}]
    told = {"trainer": "seq_cls", "problem_type": kind, "num_labels": 3}
    with pytest.raises(SwiftError, match=rf"rows.jsonl:2: seq_cls needs a column label that is {wanted}"):
        build_trainer(tiny_model("qwen2"), rows, tmp_path, **told)
    trainer = build_trainer(tiny_model("qwen2"), rows, tmp_path, strict=False, **told)
    assert len(trainer.train_dataset) == 1 and "left out 1 rows without a usable label" in " ".join(trainer.job.notes)


def test_classes_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SwiftError, match="say how many with --num_labels"):
        build_trainer(tiny_model("qwen2"), ROWS, tmp_path, trainer="seq_cls", num_labels=1)
