"""Prefix keeps the tuner contract."""

from swift_core.testing import TunerContract


class TestPrefix(TunerContract):
    name = "prefix"
    trains = r"prompt_encoder\."
    merges = False
    learning_rate = 0.1
