"""EVA keeps the tuner contract; its A spans the inputs that the rows make."""

import pytest
from swift_testing import TunerContract

from swift_core.contract.errors import SwiftError


class TestEva(TunerContract):
    name = "eva"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"lora_rank": 4, "eva_rows": 4, "eva_rho": 1.0, "eva_tau": 0.5}
    trains = r"\.lora_[AB]\."
    identity_at_start = True
    needs_rows = True

    def test_starts_along_the_inputs_of_the_rows(self):
        """The first direction of A holds more of the inputs' energy than a random one would."""
        import torch

        tuned = self.tune("llama")
        layer = tuned.model.base_model.model.model.layers[1].mlp.up_proj
        held = []
        hook = layer.register_forward_pre_hook(lambda _, inputs: held.append(inputs[0].detach()))
        from swift_plugin_runtime.quantizing.calibration import draw_batches

        for batch in draw_batches(tuned.job, tuned.model, 4):
            tuned.model(**batch)
        hook.remove()
        inputs = torch.cat([h.flatten(0, 1) for h in held])
        basis = torch.linalg.qr(layer.lora_A["default"].weight.detach().T)[0]
        share = (inputs @ basis).norm() ** 2 / inputs.norm() ** 2
        assert share > 2 * 4 / 64  # a random basis of 4 in 64 dimensions holds 1/16

    def test_answers_shorter_than_the_rank_are_joined_and_too_few_refused(self):
        """PEFT waits for ever for a batch with a token for each direction; two short rows make one."""
        assert self.tune("llama", lora_rank=16).model.peft_config
        with pytest.raises(SwiftError, match="fewer than 400 answer tokens"):
            self.tune("llama", lora_rank=400)
