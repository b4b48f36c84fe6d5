"""LoKr keeps the tuner contract."""

from swift_testing import TunerContract


class TestLoKr(TunerContract):
    name = "lokr"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"\.lokr_w[12]"
    identity_at_start = True
    options = {"lokr_rank": 4}
    learning_rate = 0.05
