"""PTuning keeps the tuner contract."""

from swift_testing import TunerContract


class TestPTuning(TunerContract):
    name = "ptuning"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"prompt_encoder\."
    merges = False
