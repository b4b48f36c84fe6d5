"""Boft keeps the tuner contract."""

from swift_testing import TunerContract


class TestBoft(TunerContract):
    name = "boft"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"\.boft_(R|s)\."
    identity_at_start = True
    options = {"boft_block_size": 4, "target_modules": ["q_proj", "v_proj"]}
