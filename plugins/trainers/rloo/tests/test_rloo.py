"""RLOO against TRL's loss, and a plain computation answer by answer on text and pictures."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from swift_plugin_rloo.trainer import leave_one_out
from swift_testing import RewardedInvariants
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import assert_same_gradients, build_trainer, gradients, unsettle, with_pictures
from swift_testing.rewards import rewarding
from swift_testing.rollouts import telling
from torch.nn import functional

from swift_core import SwiftError

ROWS = [{"query": "What is the answer?"}, {"query": "add 1 2 and 3"}, {"query": "hello"}, {"query": "天气怎么样?"}]
TOLD = {"trainer": "rloo", "reward": ["digits"], "max_completion_length": 8, "per_device_train_batch_size": 4}


class TestContract(RewardedInvariants):
    """Runs, saves and resumes; batches do not matter."""

    name = "rloo"
    rows = ROWS
    options = {"reward": "odd", "num_generations": 2, "max_completion_length": 8}
    scoring = {**RewardedInvariants.scoring, "learning_rate": 0.01}  # a larger step brings all answers out of the clip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: Any) -> tuple[Any, list[dict[str, Any]]]:
    """A trainer whose policy has moved since its rollout, and the answers; advantages at random, none is zero."""
    folder = tmp_path_factory.mktemp("rloo")
    trainer = build_trainer(tiny_model("qwen2"), ROWS, folder, rewarding(), beta=0.1, temperature=0.7, **TOLD)
    answers = trainer.roll_out([list(trainer.train_dataset)])[0]["answers"]
    unsettle(trainer, 0.02)
    for row in answers:
        row["advantage"] = float(torch.randn(()))
    return trainer, answers


def test_loss_and_gradients_equal_trl(bench: Any, tmp_path: Path) -> None:
    """The same answers, old likelihoods and advantages."""
    from datasets import Dataset
    from trl import RLOOConfig, RLOOTrainer

    class OwnLogps(RLOOTrainer):
        def _get_per_token_logps_and_entropies(self, model: Any, ids: Any, mask: Any, keep: int, **_: Any) -> Any:
            logits = model(input_ids=ids, attention_mask=mask).logits[:, -keep - 1 : -1] / self.temperature
            logps = logits.log_softmax(-1).gather(-1, ids[:, -keep:, None])[..., 0]
            return logps, torch.zeros_like(logps), None

    trainer, answers = bench
    settings = RLOOConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=[], temperature=0.7, num_generations=4,
        per_device_train_batch_size=4, gradient_accumulation_steps=1, max_completion_length=8,
    )  # fmt: skip
    theirs = OwnLogps(
        copy.deepcopy(trainer.model), reward_funcs=lambda **_: [0.0], args=settings,
        train_dataset=Dataset.from_dict({"prompt": ["x"]}), processing_class=trainer.processing_class,
    )  # fmt: skip
    inputs = as_theirs(answers)
    assert_same_gradients(
        gradients(trainer.model, lambda: trainer.compute_loss(trainer.model, trainer.collate(answers))),
        gradients(theirs.model, lambda: theirs._compute_loss(theirs.model, inputs)),
    )


def as_theirs(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """TRL's batch: prompts padded on the left, answers on the right."""
    starts = [next(i for i, label in enumerate(row["labels"]) if label != -100) for row in answers]
    before, behind = max(starts), max(len(r["labels"]) - s for r, s in zip(answers, starts, strict=True))

    def laid(values: list[list[Any]]) -> torch.Tensor:
        parts = zip(values, starts, strict=True)
        return torch.stack([functional.pad(torch.tensor(v), (before - s, behind - (len(v) - s))) for v, s in parts])

    ids, mask = laid([r["input_ids"] for r in answers]), laid([[1] * len(r["input_ids"]) for r in answers])
    old = laid([r["old_logps"] for r in answers])[:, before:]
    return {
        "prompt_ids": ids[:, :before],
        "prompt_mask": mask[:, :before],
        "completion_ids": ids[:, before:],
        "completion_mask": mask[:, before:],
        "advantages": torch.tensor([r["advantage"] for r in answers]),
        "old_logps": (old * mask[:, before:]).sum(1),
    }


def test_the_baseline_is_the_mean_of_the_others() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.5], [2.0, 2.0, 2.0]])
    assert leave_one_out(rewards).tolist() == [[0.75, -0.75, 0.0], [0.0, 0.0, 0.0]]


def test_an_answer_without_a_reward_is_none_of_the_others() -> None:
    rewards = torch.tensor([[1.0, math.nan, 0.5], [math.nan, 2.0, math.nan]])
    assert leave_one_out(rewards).tolist() == [[0.5, 0.0, -0.5], [0.0, 0.0, 0.0]]


def total_logp(model: Any, row: dict[str, Any]) -> float:
    """The log-probability of one whole answer at temperature 0.7, from an unpadded pass."""
    read = ("input_ids", "pixel_values", "image_grid_thw", "mm_token_type_ids")
    inputs = {k: torch.tensor([v]) if isinstance(v, list) else v for k, v in row.items() if k in read}
    with torch.no_grad():
        found = (model.eval()(**inputs).logits[0] / 0.7).log_softmax(-1)
    return sum(found[n - 1, label].item() for n, label in enumerate(row["labels"]) if label != -100)


@pytest.mark.parametrize("family", ["qwen2", "qwen2_vl"])
def test_loss_equals_a_plain_computation(family: str, tmp_path: Path) -> None:
    """Rewards less β·log π/π_ref of the answer (eq. 1), held against the others' mean (eq. 8); one ratio an answer."""
    rows, told = (
        ROWS[:2],
        {**TOLD, "rollout_backend": "vllm" if family == "qwen2" else None},
    )  # answers of unequal lengths, where they are told
    if family == "qwen2_vl":
        rows = with_pictures(rows, tmp_path)
    values = [0.3, 1.0, 0.0, 0.5, 0.2, 0.9]
    catalogue = telling(rewarding(lambda *_: values))
    trainer = build_trainer(
        tiny_model(family), rows, tmp_path, catalogue, beta=0.2, temperature=0.7, num_generations=3, **told
    )
    unsettle(trainer, 0.02)
    answers = trainer.roll_out([list(trainer.train_dataset)])[0]["answers"]
    old, before = ([total_logp(m, r) for r in answers] for m in (trainer.model, trainer.reference.model))
    unsettle(trainer, 0.02)
    given = [value - 0.2 * (o - b) for value, o, b in zip(values, old, before, strict=True)]
    total = 0.0
    for n, row in enumerate(answers):
        group = given[n // 3 * 3 : n // 3 * 3 + 3]
        advantage = given[n] - (sum(group) - given[n]) / 2
        ratio = math.exp(total_logp(trainer.model, row) - old[n])
        total -= min(ratio * advantage, max(0.8, min(1.2, ratio)) * advantage)
    loss = trainer.compute_loss(trainer.model, trainer.collate(answers))
    assert loss.item() == pytest.approx(total / 6, rel=1e-3, abs=1e-5)


def test_what_cannot_be_rolled_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SwiftError, match="rloo learns from rewards"):
        build_trainer(tiny_model("qwen2"), ROWS, tmp_path, trainer="rloo")
    with pytest.raises(SwiftError, match=r"num_generations"):
        build_trainer(tiny_model("qwen2"), ROWS, tmp_path, rewarding(), num_generations=1, **TOLD)
    found = build_trainer(tiny_model("qwen2"), ROWS, tmp_path, rewarding(lambda *_: [float("nan")] * 16), **TOLD)
    with pytest.raises(SwiftError, match=r"reward digits: gave nan for .*rows.jsonl:1"):
        found.roll_out([list(found.train_dataset)])
