"""AQLM is refused with the reason for a checkpoint that it did not make."""

import pytest
from swift_testing import ComponentContract
from swift_testing.contracts import tiny_model

from swift_core.contract.errors import SwiftError
from swift_core.jobs.steps import load_model


class TestAqlm(ComponentContract):
    kind = "quantizer"
    name = "aqlm"

    def test_a_plain_checkpoint_is_refused(self):
        job = self.job("sft", model=tiny_model("llama"))
        with pytest.raises(SwiftError, match="only loads checkpoints that AQLM made"):
            load_model(job)
