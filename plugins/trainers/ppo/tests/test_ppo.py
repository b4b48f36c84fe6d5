"""PPO's arithmetic against plain computations, text and pictures; the value head in checkpoints; what is learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from swift_plugin_ppo.trainer import generalised_advantages, value_losses
from swift_testing import RewardedInvariants
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import build_trainer, unsettle, with_pictures
from swift_testing.rewards import rewarding
from swift_testing.rollouts import telling

ROWS = [{"query": "What is the answer?"}, {"query": "add 1 2 and 3"}, {"query": "hello"}, {"query": "天气怎么样?"}]
TOLD = {"trainer": "ppo", "reward": ["digits"], "max_completion_length": 8}
READ = ("input_ids", "pixel_values", "image_grid_thw", "mm_token_type_ids")


class TestContract(RewardedInvariants):
    """Runs, saves and resumes, value head and all; batches do not matter."""

    name = "ppo"
    rows = ROWS
    options = {"reward": "odd", "max_completion_length": 8}


def seen(trainer: Any, row: dict[str, Any], model: Any = None) -> tuple[list[float], list[float]]:
    """(log-probability of each token of one answer, value before it), from an unpadded pass."""
    inputs = {
        k: torch.tensor([v]) if k in ("input_ids", "mm_token_type_ids") else v for k, v in row.items() if k in READ
    }
    with torch.no_grad():
        output = (model or trainer.model.policy).eval()(**inputs, output_hidden_states=True)
        values = trainer.model.value_head(output.hidden_states[-1][0])[:, 0]
    logps = output.logits[0].log_softmax(-1)
    places = [(n - 1, label) for n, label in enumerate(row["labels"]) if label != -100]
    return [logps[n, label].item() for n, label in places], [values[n].item() for n, _ in places]


@pytest.mark.parametrize("family", ["qwen2", "qwen2_vl"])
def test_loss_equals_a_plain_computation(family: str, tmp_path: Path) -> None:
    """arXiv 1707.06347 eqs. 7 and 9 with the advantages of 1506.02438, each answer alone, in plain loops."""
    rows, told = (
        ROWS[:2],
        {**TOLD, "rollout_backend": "vllm" if family == "qwen2" else None},
    )  # answers of unequal lengths, where they are told
    if family == "qwen2_vl":
        rows = with_pictures(rows, tmp_path)
    catalogue = telling(rewarding(lambda *_: [0.3, 1.0, 0.0, 0.5]))
    more = {"num_generations": 2, "beta": 0.2, "gamma": 0.9, "gae_lambda": 0.8, "whiten_advantages": False}
    trainer = build_trainer(tiny_model(family), rows, tmp_path, catalogue, **told, **more)
    unsettle(trainer, 0.02)
    answers = trainer.roll_out([list(trainer.train_dataset)])[0]["answers"]
    before = [(*seen(trainer, r), seen(trainer, r, trainer.reference.model)[0]) for r in answers]
    unsettle(trainer, 0.03)
    total, count = 0.0, 0
    for row, (old, expected, first), reward in zip(answers, before, [0.3, 1.0, 0.0, 0.5], strict=True):
        given = [-0.2 * (a - b) for a, b in zip(old, first, strict=True)]
        given[-1] += reward
        ahead, following, advantages = 0.0, 0.0, []
        for r, v in zip(reversed(given), reversed(expected), strict=True):
            ahead = r + 0.9 * following - v + 0.9 * 0.8 * ahead
            following = v
            advantages.insert(0, ahead)
        for new, was, value, v, a in zip(
            *seen(trainer, row)[:1], old, seen(trainer, row)[1], expected, advantages, strict=True
        ):
            ratio = torch.tensor(new - was).exp().item()
            total -= min(ratio * a, max(0.8, min(1.2, ratio)) * a)
            held = v + max(-0.2, min(0.2, value - v))
            total += 0.1 * 0.5 * max((value - (a + v)) ** 2, (held - (a + v)) ** 2)
            count += 1
    loss = trainer.compute_loss(trainer.model, trainer.collate(answers))
    assert loss.item() == pytest.approx(total / count, rel=1e-3, abs=1e-5)


def test_advantages_worked_by_hand() -> None:
    """γ 1, λ 1: the return to come less the value; tokens of others in between are passed over."""
    rewards, values = torch.tensor([[0.0, 9.0, 0.0, 1.0]]), torch.tensor([[0.5, 9.0, 0.25, 0.75]])
    mask = torch.tensor([[1.0, 0.0, 1.0, 1.0]])
    assert generalised_advantages(rewards, values, mask, 1.0, 1.0).tolist() == [[0.5, 0.0, 0.75, 0.25]]
    assert generalised_advantages(rewards, values, mask, 1.0, 0.0).tolist() == [[-0.25, 0.0, 0.5, 0.25]]


def test_the_value_is_held_near_the_old_one() -> None:
    one = torch.ones(1)
    assert value_losses(one * 0.9, one * 0.0, one, 0.2).item() == pytest.approx(0.5 * 0.8**2)
    assert value_losses(one * 0.1, one * 0.0, one, 0.2).item() == pytest.approx(0.5 * 0.9**2)


def test_the_policy_is_saved_as_any_model(tmp_path: Path) -> None:
    """transformers loads the checkpoint and finds all weights, and no others; the value head stands beside it."""
    import transformers
    from safetensors.torch import load_file

    trainer = build_trainer(tiny_model("qwen2"), ROWS, tmp_path, rewarding(), **TOLD)
    unsettle(trainer)
    trainer.save_model(str(tmp_path / "saved"))
    plain, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert torch.equal(plain.lm_head.weight, trainer.model.policy.lm_head.weight)
    head = load_file(tmp_path / "saved" / "value_head.safetensors")
    assert torch.equal(head["weight"], trainer.model.value_head.weight)
