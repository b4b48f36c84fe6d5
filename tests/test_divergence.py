"""The divergence from the reference, method by method: which tokens it counts, from which model, and what is logged."""

from __future__ import annotations

import itertools
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import build_trainer, unsettle
from swift_testing.rewards import rewarding, share_of_odd_characters
from swift_testing.rollouts import telling

from swift_core.catalogue.entries import Entry
from swift_core.contract.hooks import hookimpl

ROWS = [{"query": "What is the answer?"}, {"query": "add 1 2 and 3"}, {"query": "hello"}, {"query": "天气怎么样?"}]


class Asking:
    """Asks on, once, behind answers of an even number of characters."""

    swift_api = 1

    @hookimpl
    def respond(self, job: Any, row: Any) -> Any:
        """The user's next words."""
        answers = [m["content"] for m in row.messages if m["role"] == "assistant"]
        return [{"role": "user", "content": "and?"}] if len(answers) == 1 and len(answers[0]) % 2 == 0 else None


def asking() -> Any:
    """Everything installed with told answers, a reward, and an environment that asks on."""
    found = telling(rewarding(share_of_odd_characters, "odd"))
    found.entries.append(Entry("environment", "asking", "pytest", "0", "", f"{__name__}:Asking"))
    return found


@torch.no_grad()
def logps_of(model: Any, row: dict[str, Any]) -> list[float]:
    """The log-probability at temperature 0.7 of each trained token of one answer, from an unpadded pass."""
    found = (model(input_ids=torch.tensor([row["input_ids"]])).logits[0] / 0.7).log_softmax(-1)
    return [found[n - 1, label].item() for n, label in enumerate(row["labels"]) if label != -100]


def turns(labels: list[int]) -> int:
    """How many stretches of trained tokens a row has."""
    return sum(label != -100 and before == -100 for before, label in itertools.pairwise(labels))


@pytest.mark.parametrize("tuner", ["full", "lora"])
@pytest.mark.parametrize("name", ["grpo", "rloo", "reinforce_plus_plus", "ppo"])
def test_the_divergence_counts_what_the_model_wrote(name: str, tuner: str, tmp_path: Path) -> None:
    """Neither padding nor words of others nor masked answers; against a copy, or the model without its adapter.

    grpo logs k3 per token and the others log π/π_ref per answer, both in nats.
    """
    told = {
        "reward": ["odd"],
        "environment": ["asking"],
        "num_generations": 3,
        "max_completion_length": 8,
        "mask_truncated": True,
    }
    told |= {"rollout_backend": "vllm", "beta": 0.3, "temperature": 0.7}
    trainer = build_trainer(tiny_model("qwen2"), ROWS, tmp_path, asking(), trainer=name, tuner=tuner, **told)
    assert (trainer.reference.model is None) == (tuner == "lora")
    unsettle(trainer, 0.05)
    trainer.model.eval()
    answers = trainer.roll_out([list(trainer.train_dataset)])[0]["answers"]
    if name == "grpo":
        trainer.compute_loss(trainer.model, trainer.collate(answers))
    ours = [logps_of(trainer.model, row) for row in answers]
    with trainer.model.disable_adapter() if tuner == "lora" else nullcontext():
        before = [logps_of(trainer.reference.model or trainer.model, row) for row in answers]
    ahead = [[a - b for a, b in zip(*pair, strict=True)] for pair in zip(ours, before, strict=True)]
    if name == "grpo":
        tokens = [math.exp(-x) + x - 1 for line in ahead for x in line]
        expected = sum(tokens) / len(tokens)
    else:
        expected = sum(map(sum, ahead)) / len(ahead)
    total, count = trainer.figures["kl"]
    assert total / count == pytest.approx(expected, rel=1e-3, abs=1e-6) and abs(expected) > 1e-4
    assert any(turns(row["labels"]) > 1 for row in answers), "No answer of several turns."
    assert any(not line for line in ours), "No answer was masked."


def test_the_reference_has_no_dropout(tmp_path: Path) -> None:
    """An adapter's base model stands as it was, also while the policy trains with dropout."""
    told = {"trainer": "grpo", "reward": ["digits"], "max_completion_length": 8, "tuner": "lora"}
    trainer = build_trainer(tiny_model("qwen2"), ROWS, tmp_path, rewarding(), **told)
    for layer in trainer.model.get_base_model().model.layers:
        layer.self_attn.attention_dropout = 0.5
    batch = trainer.split(trainer.collate(trainer.roll_out([list(trainer.train_dataset)])[0]["answers"]))[0]
    still = trainer.reference_logps(trainer.model.eval(), batch)
    trainer.model.train()
    assert torch.equal(trainer.reference_logps(trainer.model, batch), still)
    assert trainer.model.training and not torch.equal(trainer.memories(batch)["old_logps"], still)
