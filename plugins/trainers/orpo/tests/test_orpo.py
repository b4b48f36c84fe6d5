"""ORPO against TRL's loss and by hand, and a run of it."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from swift_plugin_orpo import Orpo, log_odds
from swift_plugin_runtime.preference import Answers

from swift_core.testing import TrainerContract

PAIR = {"query": "What is the answer?", "response": "It is here.", "rejected_response": "In the city."}


class TestContract(TrainerContract):
    """Runs, saves and resumes."""

    name = "orpo"
    rows = [PAIR] * 4


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
