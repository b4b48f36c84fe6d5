"""LoRA keeps the tuner contract, alone and as its relatives."""

from swift_core.testing import TunerContract


class TestLora(TunerContract):
    name = "lora"
    trains = r"\.lora_[AB]\."
    identity_at_start = True


class TestDora(TunerContract):
    name = "lora"
    options = {"use_dora": True, "lora_rank": 4}
    trains = r"\.lora_(A|B|magnitude_vector)\."
    identity_at_start = True


class TestPissa(TunerContract):
    name = "lora"
    options = {"init_weights": "pissa", "use_rslora": True}
    trains = r"\.lora_[AB]\."
    identity_at_start = True
