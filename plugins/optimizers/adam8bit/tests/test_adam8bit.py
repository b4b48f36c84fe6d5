"""8-bit Adam keeps the optimizer contract; its moments take one byte; pages need CUDA."""

from swift_testing import OptimizerContract


class TestAdam8bit(OptimizerContract):
    name = "adam8bit"
    options = {"adam8bit_min_size": 1024}

    def test_moments_take_one_byte(self):
        import torch
        from swift_testing.steps import train_step

        model, optimizer = self.build()
        train_step(model, optimizer)
        weight = model.model.layers[0].mlp.gate_proj.weight
        assert optimizer.state[weight]["state1"].dtype == optimizer.state[weight]["state2"].dtype == torch.uint8

    def test_pages_are_refused_on_the_cpu(self):
        import pytest

        from swift_core.contract.errors import SwiftError

        self.options = {"adam8bit_paged": True}
        with pytest.raises(SwiftError, match="needs a GPU"):
            self.build()
