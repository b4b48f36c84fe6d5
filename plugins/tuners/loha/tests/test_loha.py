"""LoHa keeps the tuner contract."""

from swift_testing import TunerContract


class TestLoHa(TunerContract):
    name = "loha"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"\.hada_w[12]"
    identity_at_start = True
    options = {"loha_rank": 4}
    learning_rate = 0.05
