"""LoftQ: nearer to the original model than QLoRA's start; refused on a base that is not quantized."""

import pytest
import torch
from swift_plugin_loftq import dequantized

from swift_core.api import run
from swift_core.errors import SwiftError
from swift_core.job import prepare
from swift_core.jobs.common import load_adapters, load_model
from swift_core.jobs.train import attach_tuners
from swift_core.options import Given
from swift_core.testing import ComponentContract
from swift_core.testing.contracts import CHAT, tiny_model, write_rows
from swift_core.testing.contracts_model import logits_of

QUANTIZED = {"quantizer": "bnb", "quant_bits": 4, "device": "cpu", "torch_dtype": "float32"}


class TestLoftQ(ComponentContract):
    kind = "tuner"
    name = "loftq"

    def test_starts_nearer_to_the_original_weights(self):
        """‖W − Q − s·B·A‖ is what remains of ‖W − Q‖ after its r largest singular values."""
        job = self.job("sft", model=tiny_model("llama"), lora_rank=8, **QUANTIZED)
        model = attach_tuners(job, load_model(job)[0])
        plain = self.job("sft", model=tiny_model("llama"), tuner="lora", device="cpu")
        layer = model.base_model.model.model.layers[0].mlp.up_proj
        original = load_model(plain)[0].model.layers[0].mlp.up_proj.weight
        bare_job = self.job("sft", model=tiny_model("llama"), tuner="lora", **QUANTIZED)
        bare = load_model(bare_job)[0].model.layers[0].mlp.up_proj
        lost = original - dequantized(bare.weight)
        update = layer.scaling["default"] * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        left = (original - dequantized(layer.base_layer.weight) - update).norm()
        assert left <= torch.linalg.svdvals(lost)[8:].norm() * 1.001
        assert left < 0.95 * lost.norm()

    def test_a_plain_base_is_refused(self):
        job = self.job("sft", model=tiny_model("llama"))
        with pytest.raises(SwiftError, match="--quantizer bnb"):
            attach_tuners(job, load_model(job)[0])


def test_a_job_trains_and_its_checkpoint_answers_the_same(tmp_path):
    rows = write_rows(tmp_path, CHAT)
    done = run(
        "sft", model=tiny_model("qwen2"), dataset=[rows], tuner=["loftq"], output_dir=str(tmp_path / "run"),
        max_steps=2, learning_rate=1e-3, **QUANTIZED,
    )  # fmt: skip
    job = prepare("export", [Given("ckpt_dir", done["checkpoint"], "test"), Given("device", "cpu", "test")])
    again = load_adapters(job, load_model(job)[0])
    assert torch.allclose(logits_of(again), logits_of(done["trainer"].model), atol=1e-4)
