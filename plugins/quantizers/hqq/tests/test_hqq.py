"""HQQ keeps the quantizer contract in 4 and 8 bits; odd widths are refused."""

import pytest
import torch
import transformers
from swift_testing import QuantizerContract
from swift_testing.contracts import tiny_model
from swift_testing.serving import random_lora

from swift_core import run
from swift_core.contract.errors import SwiftError
from swift_core.jobs.steps import load_adapters, load_model


class TestHqq4(QuantizerContract):
    name = "hqq"

    def test_a_group_that_does_not_fill_a_layer_is_refused(self):
        job = self.job("sft", model=tiny_model("llama"), hqq_group_size=48)
        with pytest.raises(SwiftError, match="does not divide"):
            load_model(job)

    def test_a_merge_is_a_plain_checkpoint_that_answers_as_the_adapter_did(self, tmp_path):
        adapter = random_lora(tiny_model("llama"), tmp_path / "adapter")
        given = {"model": tiny_model("llama"), "adapters": adapter, "torch_dtype": "float32"}
        job = self.job("infer", **given)
        ids = torch.arange(5, 17)[None]
        with torch.no_grad():
            wanted = load_adapters(job, load_model(job)[0]).eval()(input_ids=ids).logits
            run("merge-lora", quantizer="hqq", output_dir=str(tmp_path / "merged"), **given)
            merged = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32).eval()
            assert torch.allclose(merged(input_ids=ids).logits, wanted, atol=1e-4)


class TestHqq8(QuantizerContract):
    name = "hqq"
    options = {"quant_bits": 8}
    least_logit_cosine = 0.99
    least_gradient_cosine = 0.95
