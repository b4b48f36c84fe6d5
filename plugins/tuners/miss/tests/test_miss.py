"""Miss keeps the tuner contract."""

from swift_testing import TunerContract


class TestMiss(TunerContract):
    name = "miss"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"\.miss_block\."
    identity_at_start = True
    options = {"miss_rank": 8}
