"""Muon keeps the optimizer contract, and steps as torch's own Muon does."""

import torch
from swift_plugin_muon.optimizer import MuonWithAdamW
from swift_testing import OptimizerContract


class TestMuon(OptimizerContract):
    name = "muon"
    learning_rate = 0.003


def test_steps_as_torch_does():
    """torch.optim.Muon on the same gradients, Nesterov momentum and the same scale: equal weights."""
    torch.manual_seed(0)
    start = torch.randn(24, 40)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    settings = {"momentum": 0.95, "steps": 5, "scale": 0.2, "matrix": True, "weight_decay": 0.1}
    one = MuonWithAdamW([{"params": [ours], **settings}], lr=0.01, betas=(0.9, 0.95), eps=1e-8)
    other = torch.optim.Muon([theirs], lr=0.01, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        ours.grad = torch.randn(24, 40)
        theirs.grad = ours.grad.clone()
        one.step()
        other.step()
    change = theirs.detach() - start
    assert (ours.detach() - theirs.detach()).norm() < 0.01 * change.norm()  # torch rounds to bfloat16 on the way
