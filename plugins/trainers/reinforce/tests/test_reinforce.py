"""REINFORCE++ against a plain computation token by token, text and pictures; what is learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from swift_plugin_reinforce.trainer import squared_divergence, to_the_end
from swift_testing import RewardedInvariants
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import build_trainer, unsettle, with_pictures
from swift_testing.rewards import rewarding
from swift_testing.rollouts import telling

from swift_core import SwiftError

ROWS = [{"query": "What is the answer?"}, {"query": "add 1 2 and 3"}, {"query": "hello"}, {"query": "天气怎么样?"}]
TOLD = {"trainer": "reinforce_plus_plus", "reward": ["digits"], "max_completion_length": 8}


class TestContract(RewardedInvariants):
    """Runs, saves and resumes; batches do not matter."""

    name = "reinforce_plus_plus"
    rows = ROWS
    options = {"reward": "odd", "max_completion_length": 8}


def logps_of(model: Any, row: dict[str, Any]) -> list[float]:
    """The log-probability of each token of one answer, from an unpadded pass."""
    inputs = {
        k: torch.tensor([v]) if k in ("input_ids", "mm_token_type_ids") else v for k, v in row.items() if k in READ
    }
    with torch.no_grad():
        found = model.eval()(**inputs).logits[0].log_softmax(-1)
    return [found[n - 1, label].item() for n, label in enumerate(row["labels"]) if label != -100]


READ = ("input_ids", "pixel_values", "image_grid_thw", "mm_token_type_ids")


@pytest.mark.parametrize("family", ["qwen2", "qwen2_vl"])
@pytest.mark.parametrize(("baseline", "kl_in_reward"), [(False, None), (True, None), (True, True), (False, False)])
def test_loss_equals_a_plain_computation(
    family: str, baseline: bool, kl_in_reward: bool | None, tmp_path: Path
) -> None:
    """Rewards summed to the end, normalised, clipped, averaged; k1 is in the rewards, or with a baseline k2 a loss."""
    rows, told = (
        ROWS[:2],
        {**TOLD, "rollout_backend": "vllm" if family == "qwen2" else None},
    )  # answers of unequal lengths, where they are told
    if family == "qwen2_vl":
        rows = with_pictures(rows, tmp_path)
    values = [0.3, 1.0, 0.0, 0.5]
    catalogue = telling(rewarding(lambda *_: values))
    told = {**told, "num_generations": 2, "baseline": baseline, "kl_in_reward": kl_in_reward, "beta": 0.2}
    trainer = build_trainer(tiny_model(family), rows, tmp_path, catalogue, **told)
    start = trainer.reference.model
    unsettle(trainer, 0.02)
    answers = trainer.roll_out([list(trainer.train_dataset)])[0]["answers"]
    old, before = [logps_of(trainer.model, r) for r in answers], [logps_of(start, r) for r in answers]
    unsettle(trainer, 0.03)
    now = [logps_of(trainer.model, r) for r in answers]
    given = [values[n] - (sum(values[n // 2 * 2 : n // 2 * 2 + 2]) / 2 if baseline else 0) for n in range(4)]
    inside = 0.0 if kl_in_reward is False or (baseline and kl_in_reward is None) else 0.2
    returns = [
        [given[n] - inside * sum(a - b for a, b in zip(o[t:], r[t:], strict=True)) for t in range(len(o))]
        for n, (o, r) in enumerate(zip(old, before, strict=True))
    ]
    flat = torch.tensor([v for line in returns for v in line])
    total = 0.0
    for line, *answer in zip(returns, now, old, before, strict=True):
        for value, new, was, first in zip(line, *answer, strict=True):
            advantage = (value - flat.mean().item()) / flat.std().item()
            ratio = torch.tensor(new - was).exp().item()
            total -= min(ratio * advantage, max(0.8, min(1.2, ratio)) * advantage)
            total += (0.2 - inside) * (new - first) ** 2 / 2
    loss = trainer.compute_loss(trainer.model, trainer.collate(answers))
    assert loss.item() == pytest.approx(total / len(flat), rel=1e-3, abs=1e-5)


def test_returns_are_summed_to_the_end() -> None:
    assert to_the_end(torch.tensor([[1.0, -0.5, 2.0]])).tolist() == [[2.5, 1.5, 2.0]]


def test_the_gradient_of_k2_is_that_of_the_divergence() -> None:
    """Over all tokens that π may draw: E[∇k2] = ∇KL(π ‖ π_ref), with both distributions written out."""
    logits, first = torch.randn(2, 7, generator=torch.Generator().manual_seed(0))
    logits.requires_grad_()
    logps, reference = logits.log_softmax(0), first.log_softmax(0)
    (exact,) = torch.autograd.grad((logps.exp() * (logps - reference)).sum(), logits, retain_graph=True)
    drawn = (logps.detach().exp() * squared_divergence(logps, reference)).sum()
    assert torch.allclose(torch.autograd.grad(drawn, logits)[0], exact, atol=1e-6) and exact.abs().max() > 0.01


def test_the_baseline_needs_siblings(tmp_path: Path) -> None:
    with pytest.raises(SwiftError, match="--baseline takes off the mean"):
        build_trainer(tiny_model("qwen2"), ROWS, tmp_path, rewarding(), baseline=True, **TOLD)
