"""Ia3 keeps the tuner contract."""

from swift_testing import TunerContract


class TestIa3(TunerContract):
    name = "ia3"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"\.ia3_l\."
    identity_at_start = True
    learning_rate = 0.1
