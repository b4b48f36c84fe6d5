"""Oft keeps the tuner contract."""

from swift_testing import TunerContract


class TestOft(TunerContract):
    name = "oft"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"\.oft_R\."
    identity_at_start = True
    options = {"oft_block_size": 8}
