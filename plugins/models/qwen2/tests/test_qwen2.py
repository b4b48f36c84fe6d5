"""The card of Qwen2 keeps the model contract."""

from swift_testing import ModelContract


class TestQwen2(ModelContract):
    name = "qwen2"
