"""LoRA-FA keeps the optimizer contract, leaves A as it was, and wants LoRA."""

from swift_testing import OptimizerContract


class TestLoraFa(OptimizerContract):
    name = "lora_fa"
    tuner = "lora"

    def test_freezes_a_and_wants_lora(self):
        import pytest

        from swift_core.contract.errors import SwiftError

        model, _ = self.build()
        assert {n.split(".")[-3] for n, p in model.named_parameters() if p.requires_grad} == {"lora_B"}
        self.tuner = "full"
        with pytest.raises(SwiftError, match="--tuner lora"):
            self.build()
