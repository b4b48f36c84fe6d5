"""FP8 is refused with the reason where it cannot run, and for training."""

import pytest
from swift_testing import ComponentContract
from swift_testing.contracts import tiny_model

from swift_core.contract.errors import SwiftError
from swift_core.jobs.steps import load_model


class TestFp8(ComponentContract):
    kind = "quantizer"
    name = "fp8"

    def test_training_and_a_cpu_are_refused_before_weights_are_read(self):
        for command, reason in (("sft", "no backward pass"), ("infer", "GPUs alone")):
            with pytest.raises(SwiftError, match=reason):
                load_model(self.job(command, model=tiny_model("llama")))
