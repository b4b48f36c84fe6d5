"""HQQ keeps the quantizer contract in 4 and 8 bits; odd widths are refused."""

import pytest
from swift_testing import QuantizerContract
from swift_testing.contracts import tiny_model

from swift_core.contract.errors import SwiftError
from swift_core.jobs.steps import load_model


class TestHqq4(QuantizerContract):
    name = "hqq"

    def test_a_group_that_does_not_fill_a_layer_is_refused(self):
        job = self.job("sft", model=tiny_model("llama"), hqq_group_size=48)
        with pytest.raises(SwiftError, match="does not divide"):
            load_model(job)


class TestHqq8(QuantizerContract):
    name = "hqq"
    options = {"quant_bits": 8}
    least_logit_cosine = 0.99
    least_gradient_cosine = 0.95
