"""rsLoRA keeps the tuner contract, and scales by α/√r."""

from swift_testing import TunerContract


class TestRsLora(TunerContract):
    name = "rslora"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"lora_rank": 4, "lora_alpha": 6}
    trains = r"\.lora_[AB]\."
    identity_at_start = True

    def test_scales_by_the_root_of_the_rank(self):
        layer = self.tune("llama").model.base_model.model.model.layers[0].self_attn.q_proj
        assert layer.scaling["default"] == 6 / 4**0.5
