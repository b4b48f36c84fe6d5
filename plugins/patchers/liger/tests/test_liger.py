"""Liger is refused with the reason on a CPU."""

import pytest
from swift_testing import ComponentContract
from swift_testing.contracts import tiny_model

from swift_core.contract.errors import SwiftError
from swift_core.jobs.steps import load_model


class TestLiger(ComponentContract):
    kind = "patcher"
    name = "liger"

    def choice(self):
        return {"patcher": ["liger"]}

    def test_a_cpu_is_refused(self):
        job = self.job("sft", model=tiny_model("llama"))
        with pytest.raises(SwiftError, match="need a GPU"):
            load_model(job)
