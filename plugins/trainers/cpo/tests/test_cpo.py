"""CPO against TRL's loss and by hand, and a run of it."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from swift_plugin_cpo import Cpo
from swift_plugin_runtime.alignment.preference import Answers
from swift_testing import TrainerInvariants

PAIR = {"query": "What is the answer?", "response": "It is here.", "rejected_response": "In the city."}


class TestContract(TrainerInvariants):
    """Runs, saves and resumes; batches do not matter."""

    name = "cpo"
    rows = [
        PAIR,
        {**PAIR, "response": "No."},
        {**PAIR, "rejected_response": "add 1 2 3 add"},
        {**PAIR, "query": "hello"},
    ]


def test_loss_equals_trl_and_the_paper() -> None:
    from trl.experimental.cpo import CPOTrainer

    chosen, rejected = (torch.tensor(v) for v in ([-4.0, -9.0], [-6.0, -3.0]))
    tokens = torch.tensor([2.0, 3.0])
    method = Cpo(beta=0.3, cpo_alpha=0.5, label_smoothing=0.1)
    theirs = SimpleNamespace(
        alpha=0.0, beta=0.3, loss_type="sigmoid", label_smoothing=0.1, accelerator=SimpleNamespace(device="cpu")
    )
    expected = CPOTrainer.cpo_loss(theirs, chosen, rejected)[0] - 0.5 * chosen / tokens
    unused = torch.full((2,), torch.nan)
    ours = method.pair_losses(Answers(chosen, unused, tokens), Answers(rejected, unused, tokens))
    assert torch.allclose(ours, expected)
    clean = Cpo(beta=0.3, cpo_alpha=0).pair_losses(Answers(chosen, unused, tokens), Answers(rejected, unused, tokens))
    assert torch.allclose(clean, torch.log1p(torch.exp(-0.3 * (chosen - rejected))))
