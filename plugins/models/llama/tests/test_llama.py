"""The card of Llama keeps the model contract."""

from swift_testing import ModelContract


class TestLlama(ModelContract):
    name = "llama"
