"""EETQ is refused with the reason where it cannot run."""

import pytest
from swift_testing import ComponentContract
from swift_testing.contracts import tiny_model

from swift_core.contract.errors import SwiftError
from swift_core.jobs.steps import load_model


class TestEetq(ComponentContract):
    kind = "quantizer"
    name = "eetq"

    def test_a_cpu_is_refused_before_weights_are_read(self, tmp_path):
        job = self.job("sft", model=tiny_model("llama"))
        with pytest.raises(SwiftError, match="NVIDIA GPUs alone"):
            load_model(job)
