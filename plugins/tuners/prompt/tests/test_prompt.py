"""Prompt keeps the tuner contract."""

from swift_core.testing import TunerContract


class TestPrompt(TunerContract):
    name = "prompt"
    trains = r"prompt_encoder\."
    merges = False
    learning_rate = 0.1
