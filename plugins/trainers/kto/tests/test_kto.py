"""KTO against TRL's own trainer and a plain computation, text and pictures; and labels that are none."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from swift_plugin_kto.trainer import joined_answers
from swift_plugin_runtime.batching.shared_rows import PaddedRows
from swift_testing import TrainerInvariants
from swift_testing.tiny import tiny_qwen2, tiny_qwen2_vl

from swift_core import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners, load_model
from swift_core.jobs.train import load_data

ROWS = [
    {"query": "What is the answer?", "response": "It is here.", "label": True},
    {"query": "add 1 2", "response": "1 2 add add", "label": False},
    {"query": "天气怎么样?", "response": "今天天气很好。", "label": True},
    {"query": "hello", "response": "city city", "label": False},
]


class TestContract(TrainerInvariants):
    """Runs, saves and resumes; batches do not matter."""

    name = "kto"
    rows = ROWS
    scoring = {"loss_type": "apo_zero_unpaired"}  # kto's reference point is a mean over the batch


def build(model: str, rows: list[dict[str, Any]], folder: Path, **options: Any) -> Any:
    """A prepared job's trainer whose policy has moved away from its reference."""
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    told = {"model": model, "dataset": str(file), "trainer": "kto", "tuner": "full", "output_dir": str(folder / "out")}
    job = prepare("rlhf", [Given(k, v, "test") for k, v in {**told, "save_strategy": "no", **options}.items()])
    train, held = load_data(job)
    net, processor = load_model(job)
    net = attach_tuners(job, net)
    trainer = job.hook.build_trainer(job=job, model=net, processor=processor, rows=train, eval_rows=held)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.03)
    return trainer


@pytest.fixture(scope="module")
def trainers(tmp_path_factory: Any) -> dict[str, Any]:
    """A trainer over text and one over pictures of unequal sizes."""
    folder = tmp_path_factory.mktemp("kto")
    pictured = []
    for number, (row, size) in enumerate(zip(ROWS, [(56, 56), (84, 56), (56, 84), (56, 56)], strict=True)):
        Image.effect_noise(size, 80).convert("RGB").save(folder / f"{number}.png")
        pictured.append({**row, "images": [str(folder / f"{number}.png")]})
    text, vision = folder / "text", folder / "vision"
    return {
        "text": build(tiny_qwen2(text), ROWS, text),
        "vision": build(tiny_qwen2_vl(vision), pictured, vision),
    }


@torch.no_grad()
def plain_ratio(trainer: Any, item: dict[str, Any]) -> float:
    """log π/π_ref of one unpadded row, token by token."""
    along = {k: torch.tensor([v]) for k, v in item.items() if isinstance(v, list)}
    media = {k: v for k, v in item.items() if isinstance(v, torch.Tensor)}
    labels = along.pop("labels")[0]
    total = 0.0
    for model, sign in [(trainer.model, 1), (trainer.reference.model, -1)]:
        logits = model(**along, **media).logits[0].float()
        for place in range(1, len(labels)):
            if labels[place] != -100:
                total += sign * logits[place - 1].log_softmax(-1)[labels[place]].item()
    return total


@pytest.mark.parametrize("kind", ["text", "vision"])
@pytest.mark.parametrize("loss", ["kto", "apo_zero_unpaired"])
def test_loss_equals_a_plain_computation(trainers: dict[str, Any], kind: str, loss: str) -> None:
    """Eq. 8 row by row, without the trainer's code; good answers weigh 1, bad ones 2."""
    trainer = trainers[kind]
    trainer.method.loss_type, trainer.method.undesirable_weight = loss, 2.0
    items = list(trainer.train_dataset)
    trainer.model.eval()
    ratios = [plain_ratio(trainer, answer) for answer, _, _ in items]
    apart = max(0.0, sum(plain_ratio(trainer, other) for _, other, _ in items) / 4) if loss == "kto" else 0.0
    expected = 0.0
    for ratio, (_, _, good) in zip(ratios, items, strict=True):
        value = torch.sigmoid(torch.tensor(0.1 * (ratio - apart) * (1 if good else -1))).item()
        expected += (1 if good else 2) * (1 - value) / 4
    assert trainer.compute_loss(trainer.model, trainer.data_collator(items)).item() == pytest.approx(expected, rel=1e-4)


def test_loss_and_gradients_equal_trl(trainers: dict[str, Any], tmp_path: Path) -> None:
    """The same rows, the same mismatched answers, equal weights."""
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    class PreEncoded(KTOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    ours = trainers["text"]
    ours.method.loss_type, ours.method.undesirable_weight = "kto", 1.0
    ours.model.train()
    batch = ours.data_collator(list(ours.train_dataset))
    # a reference that finds all answers less likely makes the divergence positive, so that it takes part
    with torch.no_grad():
        ours.reference.model.lm_head.weight.mul_(8)
    ours.remembered.known.clear()
    settings = KTOConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=[], remove_unused_columns=False,
        max_length=None, train_sampling_strategy="sequential", beta=0.1, per_device_train_batch_size=4,
    )  # fmt: skip
    theirs = PreEncoded(
        copy.deepcopy(ours.model), ref_model=copy.deepcopy(ours.reference.model), args=settings,
        train_dataset=Dataset.from_dict({"i": [0]}), data_collator=list, processing_class=ours.processing_class,
    )  # fmt: skip
    padded = joined_answers(PaddedRows(0), list(ours.train_dataset), True)
    inputs = {**masked(padded["answers"]), "label": batch["good"]}
    inputs |= {f"KL_{k}": v for k, v in masked(padded["mismatched"]).items()}
    losses = []
    for trainer, compute in [
        (ours, lambda: ours.compute_loss(ours.model, batch)),
        (theirs, lambda: theirs._compute_loss(theirs.model, inputs, False)),
    ]:
        trainer.model.zero_grad()
        losses.append(compute())
        losses[-1].backward()
    assert ours.figures["kl"][0] > 0
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    wanted = dict(theirs.model.named_parameters())
    for name, parameter in ours.model.named_parameters():
        assert torch.allclose(parameter.grad, wanted[name].grad, atol=1e-6), name


def masked(batch: dict[str, Any]) -> dict[str, Any]:
    """Our batch as TRL names it."""
    return {k: v for k, v in batch.items() if k != "labels"} | {"completion_mask": (batch["labels"] != -100).long()}


def test_good_answers_become_likelier(tmp_path: Path) -> None:
    model = tiny_qwen2(tmp_path / "model")
    trainer = build(
        model, ROWS, tmp_path, max_steps=8, learning_rate=1e-3, per_device_train_batch_size=4, logging_steps=1
    )
    trainer.train()
    lines = [line for line in trainer.state.log_history if "rewards/margins" in line]
    assert lines[-1]["rewards/margins"] > lines[0]["rewards/margins"] + 0.1
    assert lines[-1]["rewards/chosen"] > lines[-1]["rewards/rejected"]


def test_a_label_that_is_none_is_named(tmp_path: Path) -> None:
    model = tiny_qwen2(tmp_path / "model")
    bad = [ROWS[0], {**ROWS[1], "label": "yes"}]
    with pytest.raises(SwiftError, match=r"rows.jsonl:2: kto needs a column label that is true or false, found 'yes'"):
        build(model, bad, tmp_path)
    trainer = build(model, bad, tmp_path, strict=False)
    assert len(trainer.train_dataset) == 1 and "left out 1 rows without a label" in trainer.job.notes[-1]
