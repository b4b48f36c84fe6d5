"""Bottleneck adapters keep the tuner contract, also on the language model of a multimodal one."""

from swift_testing import TunerContract


class TestAdapter(TunerContract):
    name = "adapter"
    options = {"adapter_size": 8}
    trains = r"layers\.\d\.(self_attn|mlp)\.adapter_default\."
    identity_at_start = True
    merges = False
    families = ("qwen2", "llama", "qwen2_vl")
