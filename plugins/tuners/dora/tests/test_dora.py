"""DoRA keeps the tuner contract."""

from swift_testing import TunerContract


class TestDora(TunerContract):
    name = "dora"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"lora_rank": 4}
    trains = r"\.lora_(A|B|magnitude_vector)\."
    identity_at_start = True
