"""Vera keeps the tuner contract."""

from swift_testing import TunerContract


class TestVera(TunerContract):
    name = "vera"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"\.vera_lambda_[bd]\."
    identity_at_start = True
    options = {"vera_rank": 16}
    learning_rate = 0.05
