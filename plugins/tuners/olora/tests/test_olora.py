"""OLoRA keeps the tuner contract."""

from swift_testing import TunerContract


class TestOLora(TunerContract):
    name = "olora"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"lora_rank": 4, "lora_alpha": 4}
    trains = r"\.lora_[AB]\."
    identity_at_start = True
    rewrites = r"_proj\.base_layer\.weight$"
