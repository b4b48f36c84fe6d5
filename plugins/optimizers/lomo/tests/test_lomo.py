"""LOMO keeps the optimizer contract, holds no gradient, and steps as SGD does."""

from swift_testing import OptimizerContract


class TestLomo(OptimizerContract):
    name = "lomo"
    learning_rate = 0.3

    def test_steps_as_sgd_and_holds_no_gradient(self):
        import copy

        import torch
        from swift_testing.steps import train_step

        self.options = {"lomo_clip_grad_value": 0.01}
        model, optimizer = self.build()
        twin = copy.deepcopy(model)
        for parameter in twin.parameters():
            parameter.register_hook(lambda gradient: gradient.clamp(-0.01, 0.01))
        plain = torch.optim.SGD(twin.parameters(), lr=0.3)
        for _ in range(2):
            train_step(model, optimizer)
            train_step(twin, plain)
        assert all(p.grad is None for p in model.parameters())
        for one, other in zip(model.parameters(), twin.parameters(), strict=True):
            assert torch.allclose(one, other, atol=1e-6)

    def test_accumulation_is_refused(self):
        import pytest

        from swift_core.contract.errors import SwiftError

        self.options = {"gradient_accumulation_steps": 2}
        with pytest.raises(SwiftError, match="--gradient_accumulation_steps 1"):
            self.build()

    def job(self, command="sft", **options):
        return super().job(command, **{"weight_decay": 0.0, **options})
