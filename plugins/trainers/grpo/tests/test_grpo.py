"""GRPO against TRL's own loss, text and pictures; rollouts, advantages, repeated steps, and rewards that misbehave."""

from __future__ import annotations

import copy
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from swift_plugin_grpo import Grpo
from swift_plugin_grpo.losses import divergence, group_advantages, policy_losses, token_weights
from swift_plugin_grpo.trainer import PromptOrder
from swift_plugin_runtime.rollout import Completion, Prompt, draw, learning_row
from torch.nn import functional

from swift_core import SwiftError, hookimpl
from swift_core.catalogue import Catalogue, Entry
from swift_core.job import prepare
from swift_core.jobs.common import load_model
from swift_core.jobs.train import attach_tuners, load_data
from swift_core.options import Given
from swift_core.testing.tiny import tiny_qwen2, tiny_qwen2_vl

QUESTIONS = [
    {"query": "What is the answer?", "solution": "1"},
    {"query": "add 1 2 and then add 3 again"},
    {"messages": [{"role": "system", "content": "You count."}, {"role": "user", "content": "0 1 2"}]},
]


class RewardOf:
    """A reward made from a function of (completion) for the tests."""

    swift_api = 1

    def __init__(self, function: Any):
        self.function = function

    @hookimpl
    def score(self, rows: Any, completions: list[str]) -> Any:
        return self.function(rows, completions)


def digits(rows: Any, completions: list[str]) -> list[float]:
    """The share of an answer's characters that are digits."""
    return [sum(c.isdigit() for c in text) / max(1, len(text)) for text in completions]


def length(rows: Any, completions: list[str]) -> list[float]:
    """Minus a tenth of the answer's length in characters."""
    return [-len(text) / 10 for text in completions]


def catalogue(**functions: Any) -> Catalogue:
    """Everything installed and a reward for each function."""
    module = ModuleType("grpo_test_rewards")
    sys.modules[module.__name__] = module
    found = Catalogue.installed()
    for name, function in functions.items():
        setattr(module, name, RewardOf(function))
        found.entries.append(Entry("reward", name, "pytest", "0", "", f"{module.__name__}:{name}"))
    return found


def build(model: str, rows: list[dict[str, Any]], folder: Path, rewards: Any = None, **options: Any) -> Any:
    """A prepared GRPO job's trainer on `rows`; its rewards are functions."""
    folder.mkdir(exist_ok=True)
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    rewards = rewards or {"digits": digits}
    told = {
        "model": model, "dataset": str(file), "trainer": "grpo", "reward": list(rewards), "tuner": "full",
        "learning_rate": 1e-3, "output_dir": str(folder / "out"), "num_generations": 4, "max_completion_length": 12,
        "per_device_train_batch_size": len(rows), "save_strategy": "no", "logging_steps": 1, **options,
    }
    job = prepare("rlhf", [Given(k, v, "test") for k, v in told.items()], catalogue(**rewards))
    train, held = load_data(job)
    net, processor = load_model(job)
    net = attach_tuners(job, net)
    return job.hook.build_trainer(job=job, model=net, processor=processor, rows=train, eval_rows=held)


@pytest.fixture(scope="module")
def text(tmp_path_factory: Any) -> str:
    """A tiny language model."""
    return tiny_qwen2(tmp_path_factory.mktemp("qwen2"))


@pytest.fixture(scope="module")
def vision(tmp_path_factory: Any) -> str:
    """A tiny vision-language model."""
    return tiny_qwen2_vl(tmp_path_factory.mktemp("qwen2vl"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: Any) -> list[dict[str, Any]]:
    """Questions about pictures of unequal sizes, and one without a picture."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for number, size in enumerate([(56, 56), (84, 56)]):
        Image.effect_noise(size, 80).convert("RGB").save(folder / f"{number}.png")
        rows.append({**QUESTIONS[number], "images": [str(folder / f"{number}.png")]})
    return [*rows, QUESTIONS[2]]


@dataclass
class Bench:
    """A trainer whose policy has moved on since its rollout, the rollout's answers, and TRL's trainer on a copy."""

    trainer: Any
    answers: list[dict[str, Any]]
    trl: Any


def bench(model: str, rows: list[dict[str, Any]], folder: Path) -> Bench:
    """A rollout of every prompt, then a policy that moved; advantages are set at random, so that none is zero."""
    trainer = build(model, rows, folder, num_iterations=2, beta=0.1, temperature=0.7)
    rollout = trainer.roll_out([[trainer.train_dataset[i] for i in range(len(rows))]])
    trainer.remember(rollout)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    answers = rollout[0]["answers"]
    for row in answers:
        row["advantage"] = float(torch.randn(()))
    return Bench(trainer, answers, trl_trainer(trainer, answers, folder))


def trl_trainer(trainer: Any, answers: list[dict[str, Any]], folder: Path) -> Any:
    """TRL's GRPOTrainer on a copy of the policy; media of the answers are given to its forward pass by hand."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    class WithMedia(GRPOTrainer):
        def _get_per_token_logps_and_entropies(self, model: Any, ids: Any, mask: Any, keep: int, **_: Any) -> Any:
            logits = model(input_ids=ids, attention_mask=mask, **self.media).logits[:, -keep - 1 : -1] / self.temperature
            logps = logits.log_softmax(-1).gather(-1, ids[:, -keep:, None])[..., 0]
            return logps, torch.zeros_like(logps), None

    method = trainer.method
    settings = GRPOConfig(
        output_dir=str(folder / "trl"), use_cpu=True, bf16=False, report_to=[], beta=method.beta,
        temperature=method.temperature, epsilon=method.epsilon, num_generations=4, per_device_train_batch_size=4,
        gradient_accumulation_steps=1, max_completion_length=12, use_bias_correction_kl=False,
    )
    theirs = WithMedia(
        copy.deepcopy(trainer.model), reward_funcs=lambda **_: [0.0], args=settings,
        train_dataset=Dataset.from_dict({"prompt": ["x"]}),
        processing_class=getattr(trainer.processing_class, "tokenizer", trainer.processing_class),
    )
    theirs.current_gradient_accumulation_steps = 1
    theirs.media = left_padded(answers)[1]
    return theirs


def left_padded(answers: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(TRL's batch: prompts padded on the left, answers on the right; the media tensors) of learning rows."""
    split = [next(i for i, label in enumerate(row["labels"]) if label != -100) for row in answers]
    longest, most = max(split), max(len(r["labels"]) - s for r, s in zip(answers, split, strict=True))

    def laid(values: list[list[Any]]) -> torch.Tensor:
        padded = [
            functional.pad(torch.tensor(v), (longest - s, most - (len(v) - s)))
            for v, s in zip(values, split, strict=True)
        ]
        return torch.stack(padded)

    ids, mask = laid([r["input_ids"] for r in answers]), laid([[1] * len(r["input_ids"]) for r in answers])
    batch = {"prompt_ids": ids[:, :longest], "prompt_mask": mask[:, :longest], "completion_ids": ids[:, longest:],
             "completion_mask": mask[:, longest:], "advantages": torch.tensor([r["advantage"] for r in answers])}
    if "old_logps" in answers[0]:
        batch["old_per_token_logps"] = laid([r["old_logps"] for r in answers])[:, longest:]
    media = {k: torch.cat([r[k] for r in answers if k in r]) for k in ("pixel_values", "image_grid_thw")
             if any(k in r for r in answers)}
    if media:
        media["mm_token_type_ids"] = laid([r.get("mm_token_type_ids", [0] * len(r["labels"])) for r in answers])
    return batch, media


@pytest.fixture(scope="module")
def text_bench(text: str, tmp_path_factory: Any) -> Bench:
    return bench(text, QUESTIONS, tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def vision_bench(vision: str, pictures: Any, tmp_path_factory: Any) -> Bench:
    return bench(vision, pictures, tmp_path_factory.mktemp("vision"))


def gradients(model: Any, compute: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and every parameter's gradient."""
    model.train()
    model.zero_grad()
    loss = compute()
    loss.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return loss.item(), found


def compare(found: Bench, loss: str) -> None:
    """Loss and gradients of ours and TRL's agree to float32 accuracy."""
    trainer, trl = found.trainer, found.trl
    trainer.method.loss_type, trainer.method.epsilon_high = loss, 0.3
    ours = gradients(trainer.model, lambda: trainer.compute_loss(trainer.model, trainer.collate(found.answers)))
    batch, media = left_padded(found.answers)
    trl.loss_type = "grpo" if loss == "gspo" else loss
    trl.importance_sampling_level = "sequence" if loss == "gspo" else "token"
    trl.epsilon_high = 1.3 if loss == "cispo" else 0.3  # TRL's bound for CISPO is the ratio itself
    trl.media = media
    batch["num_items_in_batch"] = batch["completion_mask"].sum()
    batch["ref_per_token_logps"] = trl._get_per_token_logps_and_entropies(
        trainer.reference.model,
        torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
        torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
        batch["completion_ids"].shape[1],
    )[0].detach()
    theirs = gradients(trl.model, lambda: trl._compute_loss(trl.model, batch))
    assert ours[0] == pytest.approx(theirs[0], rel=1e-4, abs=1e-6)
    largest = max(g.abs().max().item() for g in theirs[1].values())
    assert largest > 1e-4
    for name, gradient in theirs[1].items():
        assert (ours[1][name] - gradient).abs().max().item() <= 1e-3 * largest, name


@pytest.mark.parametrize("loss", ["grpo", "dapo", "dr_grpo", "bnpo", "gspo", "cispo", "sapo"])
def test_loss_and_gradients_equal_trl_on_text(text_bench: Bench, loss: str) -> None:
    compare(text_bench, loss)


@pytest.mark.parametrize("loss", ["grpo", "gspo"])
def test_loss_and_gradients_equal_trl_on_pictures(vision_bench: Bench, loss: str) -> None:
    compare(vision_bench, loss)


def test_the_clip_is_at_work_in_the_comparison(text_bench: Bench) -> None:
    trainer = text_bench.trainer
    trainer.method.loss_type, trainer.figures = "grpo", {}
    trainer.compute_loss(trainer.model, trainer.collate(text_bench.answers))
    total, count = trainer.figures["clip_ratio"]
    assert 0 < total / count < 1
    assert trainer.figures["kl"][0] > 0
