"""Trainable tokens keep the tuner contract; a text must be one token."""

import pytest
from swift_testing import TunerContract
from swift_testing.contracts import tiny_model

from swift_core.contract.errors import SwiftError
from swift_core.jobs.steps import load_model


class TestTrainableTokens(TunerContract):
    name = "trainable_tokens"
    options = {"trainable_token_indices": list(range(10, 200))}
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"trainable_tokens_delta"
    identity_at_start = True
    learning_rate = 0.1

    def test_tokens_are_named_as_text_too(self):
        job = self.job(model=tiny_model("llama"), trainable_tokens=["<|end_of_text|>"], trainable_token_indices=[7])
        model, tokenizer = load_model(job)
        wanted = [7, tokenizer.convert_tokens_to_ids("<|end_of_text|>")]
        assert job.one("tuner").peft_config(job, model).token_indices == wanted

    def test_a_text_of_many_tokens_is_refused(self):
        job = self.job(model=tiny_model("llama"), trainable_tokens=["two words"])
        with pytest.raises(SwiftError, match="tokens in this tokenizer"):
            job.one("tuner").ids(job)
