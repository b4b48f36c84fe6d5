"""LoftQ: nearer to the original model than QLoRA's start; refused on a base that is not quantized."""

import pytest
import torch
from swift_plugin_loftq import dequantized
from swift_plugin_runtime.loading.layers import base_of
from swift_testing import TunerContract
from swift_testing.contracts import CHAT, tiny_model, write_rows
from swift_testing.contracts_model import logits_of

from swift_core.api import run
from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners, load_adapters, load_model

QUANTIZED = {"quantizer": "bnb", "quant_bits": 4, "device": "cpu", "torch_dtype": "float32"}
PLAIN = {"quantizer": None, "quant_bits": None}


def first_up_proj(model):
    return base_of(model).get_decoder().layers[0].mlp.up_proj


class TestLoftQ(TunerContract):
    name = "loftq"
    options = {"quantizer": "bnb", "quant_bits": 4}
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"\.lora_[AB]\."

    def test_merged_it_is_a_plain_checkpoint(self, trained, tmp_path):
        """`swift merge-lora` adds the adapter to the base as it was in training, in whole precision."""
        for family in self.each_family():
            told = {"ckpt_dir": trained(family).folder, "output_dir": str(tmp_path / family), "device": "cpu"}
            folder = run("merge-lora", **told)["folders"]["merge-lora"]
            plain = type(base_of(trained(family).tuned.model)).from_pretrained(folder)
            assert not getattr(plain.config, "quantization_config", None)
            assert torch.allclose(logits_of(plain), trained(family).end, atol=1e-3)

    @pytest.mark.parametrize("family", ["llama", "qwen2_vl"])
    def test_starts_nearer_to_the_original_weights(self, family):
        """‖W − Q − s·B·A‖ is what remains of ‖W − Q‖ after its r largest singular values."""
        job = self.job("sft", model=tiny_model(family), lora_rank=8, torch_dtype="float32")
        layer = first_up_proj(attach_tuners(job, load_model(job)[0]))
        plain = self.job("sft", model=tiny_model(family), tuner="lora", **PLAIN)
        original = first_up_proj(load_model(plain)[0]).weight
        lost = original - dequantized(layer.base_layer.weight)
        update = layer.scaling["default"] * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        left = (lost - update).norm()
        assert left <= torch.linalg.svdvals(lost)[8:].norm() * 1.001
        assert left < 0.95 * lost.norm()

    def test_a_plain_base_is_refused(self):
        job = self.job("sft", model=tiny_model("llama"), **PLAIN)
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
