"""LoRA keeps the tuner contract, alone and as its relatives."""

from swift_testing import TunerContract


class TestLora(TunerContract):
    name = "lora"
    trains = r"\.lora_[AB]\."
    identity_at_start = True
    families = ("qwen2", "llama", "qwen2_vl")


class TestOrthogonalDora(TunerContract):
    name = "lora"
    options = {"use_dora": True, "use_rslora": True, "init_weights": "orthogonal", "lora_rank": 4}
    trains = r"\.lora_(A|B|magnitude_vector)\."
    identity_at_start = True
    families = ("llama",)
