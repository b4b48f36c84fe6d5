"""Prompt keeps the tuner contract."""

import pytest
import torch
from swift_testing import TunerContract

from swift_core.contract.errors import SwiftError


class TestPrompt(TunerContract):
    name = "prompt"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"prompt_encoder\."
    merges = False
    learning_rate = 0.1

    def test_a_picture_is_refused(self):
        """Behind virtual tokens it would have other positions than the model was trained with."""
        ids, pixels = torch.tensor([[3, 4]]), torch.zeros(16, 1176)
        with pytest.raises(SwiftError, match="rows of text"):
            self.tune("qwen2_vl").model(input_ids=ids, pixel_values=pixels)
