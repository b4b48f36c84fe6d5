"""The card of Llama keeps the model contract."""

from swift_core.testing import ModelContract


class TestLlama(ModelContract):
    name = "llama"
