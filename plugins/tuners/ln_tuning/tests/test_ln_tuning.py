"""LN tuning keeps the tuner contract."""

from swift_testing import TunerContract


class TestLnTuning(TunerContract):
    name = "ln_tuning"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"norm\.ln_tuning_layers\."
    identity_at_start = True
    learning_rate = 0.05
