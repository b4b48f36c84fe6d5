"""Prefix keeps the tuner contract."""

from swift_testing import TunerContract


class TestPrefix(TunerContract):
    name = "prefix"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"prompt_encoder\."
    merges = False
    learning_rate = 0.1
