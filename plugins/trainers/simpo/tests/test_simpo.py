"""SimPO against TRL's loss and by hand, and a run of it."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from swift_plugin_runtime.alignment.preference import Answers
from swift_plugin_simpo import SimPo
from swift_testing import TrainerInvariants

PAIR = {"query": "What is the answer?", "response": "It is here.", "rejected_response": "In the city."}


class TestContract(TrainerInvariants):
    """Runs, saves and resumes; batches do not matter."""

    name = "simpo"
    rows = [
        PAIR,
        {**PAIR, "response": "No."},
        {**PAIR, "rejected_response": "add 1 2 3 add"},
        {**PAIR, "query": "hello"},
    ]


def test_loss_equals_trl_and_the_paper() -> None:
    from trl.experimental.cpo import CPOTrainer

    chosen, rejected = (torch.tensor(v) for v in ([-4.0, -9.0], [-6.0, -3.0]))
    tokens, fewer = torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0])
    method = SimPo(beta=2.0, simpo_gamma=0.5, cpo_alpha=0.1)
    theirs = SimpleNamespace(
        alpha=0.0, beta=2.0, loss_type="simpo", simpo_gamma=0.5, label_smoothing=0.0,
        accelerator=SimpleNamespace(device="cpu"),
    )  # fmt: skip
    plain = torch.log1p(torch.exp(-(2 * chosen / tokens - 2 * rejected / fewer - 0.5)))
    assert torch.allclose(CPOTrainer.cpo_loss(theirs, chosen / tokens, rejected / fewer)[0], plain)
    unused = torch.full((2,), torch.nan)
    ours = method.pair_losses(Answers(chosen, unused, tokens), Answers(rejected, unused, fewer))
    assert torch.allclose(ours, plain - 0.1 * chosen / tokens)
