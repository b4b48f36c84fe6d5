"""ORPO against TRL's loss and by hand, and a run of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from swift_plugin_orpo import Orpo, log_odds
from swift_plugin_runtime.alignment.preference import Answers
from swift_testing import TrainerInvariants
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import build_trainer, unsettle, with_pictures

PAIR = {"query": "What is the answer?", "response": "It is here.", "rejected_response": "In the city."}


class TestContract(TrainerInvariants):
    """Runs, saves and resumes; batches do not matter."""

    name = "orpo"
    rows = [
        PAIR,
        {**PAIR, "response": "No."},
        {**PAIR, "rejected_response": "add 1 2 3 add"},
        {**PAIR, "query": "hello"},
    ]


def test_loss_equals_trl_and_the_paper() -> None:
    from trl.experimental.orpo import ORPOTrainer

    chosen, rejected = (torch.tensor(v) for v in ([-4.0, -9.0], [-6.0, -3.0]))
    tokens = torch.tensor([2.0, 3.0])
    theirs = SimpleNamespace(beta=0.2, accelerator=SimpleNamespace(device="cpu"))
    term = ORPOTrainer.odds_ratio_loss(theirs, chosen / tokens, rejected / tokens)[0]
    p, q = torch.exp(chosen / tokens), torch.exp(rejected / tokens)
    odds = torch.log(p / (1 - p)) - torch.log(q / (1 - q))
    assert torch.allclose(term, 0.2 * torch.nn.functional.logsigmoid(odds))
    unused = torch.full((2,), torch.nan)
    ours = Orpo(beta=0.2).pair_losses(Answers(chosen, unused, tokens), Answers(rejected, unused, tokens))
    assert torch.allclose(ours, -chosen / tokens - term)


def test_odds_of_a_certain_answer_are_finite() -> None:
    logp = torch.zeros(1, requires_grad=True)
    log_odds(logp).backward()
    assert log_odds(logp).isfinite() and logp.grad.isfinite()


def test_loss_on_pictures_equals_a_plain_computation(tmp_path: Path) -> None:
    """Eqs. 6 and 7 from each answer alone, unpadded, with its picture; other pixels give another loss."""
    rows = with_pictures([PAIR, PAIR], tmp_path)
    trainer = build_trainer(tiny_model("qwen2_vl"), rows, tmp_path, trainer="orpo", beta=0.2)
    unsettle(trainer, 0.02)
    expected = 0.0
    for pair in trainer.train_dataset:
        chosen, rejected = (mean_logp(trainer.model.eval(), side) for side in pair)
        odds = [torch.log(torch.exp(v) / (1 - torch.exp(v))) for v in (chosen, rejected)]
        expected += (-chosen - 0.2 * torch.nn.functional.logsigmoid(odds[0] - odds[1])).item() / 2
    batch = trainer.data_collator(list(trainer.train_dataset))
    loss = trainer.compute_loss(trainer.model, batch).item()
    assert loss == pytest.approx(expected, rel=1e-4)
    other = {**batch, "pixel_values": -batch["pixel_values"]}
    assert abs(trainer.compute_loss(trainer.model, other).item() - loss) > 1e-5


@torch.no_grad()
def mean_logp(model: Any, side: dict[str, Any]) -> torch.Tensor:
    """log p per trained token of one row."""
    inputs = {k: torch.tensor([v]) if isinstance(v, list) else v for k, v in side.items() if k != "labels"}
    logps = model(**inputs).logits[0].float().log_softmax(-1)
    found = [logps[n - 1, label] for n, label in enumerate(side["labels"]) if label != -100]
    return sum(found) / len(found)
