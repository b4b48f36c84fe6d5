"""Trainable tokens keep the tuner contract; a text must be one token."""

from swift_core.testing import TunerContract


class TestTrainableTokens(TunerContract):
    name = "trainable_tokens"
    options = {"trainable_tokens": ["<|end_of_text|>"], "trainable_token_indices": list(range(10, 200))}
    families = ("llama",)
    trains = r"trainable_tokens_delta"
    identity_at_start = True
    learning_rate = 0.1

    def test_a_text_of_many_tokens_is_refused(self):
        import pytest

        from swift_core.errors import SwiftError
        from swift_core.testing.contracts import tiny_model

        job = self.job(model=tiny_model("llama"), trainable_tokens=["two words"])
        with pytest.raises(SwiftError, match="tokens in this tokenizer"):
            job.one("tuner").ids(job)
