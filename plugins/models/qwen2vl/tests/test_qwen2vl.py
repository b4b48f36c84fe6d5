"""The card of Qwen2-VL keeps the model contract."""

from swift_testing import ModelContract


class TestQwen2VL(ModelContract):
    name = "qwen2_vl"
