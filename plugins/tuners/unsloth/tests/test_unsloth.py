"""Unsloth is refused with the reason where it cannot run, and told bits from bitsandbytes alone."""

import pytest
import torch
from swift_plugin_unsloth import bits_of, check_unsloth
from swift_testing import ComponentContract
from swift_testing.contracts import tiny_model

from swift_core.contract.errors import SwiftError
from swift_core.jobs.steps import load_model


class TestUnslothTuner(ComponentContract):
    kind = "tuner"
    name = "unsloth"

    def test_a_cpu_is_refused_before_weights_are_read(self):
        job = self.job("sft", model=tiny_model("llama"), loader="unsloth")
        with pytest.raises(SwiftError, match="NVIDIA GPUs alone"):
            load_model(job)
        job = self.job("sft", model=tiny_model("llama"))
        with pytest.raises(SwiftError, match="NVIDIA GPUs alone"):
            job.one("tuner").attach_tuner(job=job, model=None, name="default")

    def test_packs_and_other_tuners_are_refused(self):
        job = self.job("sft", model=tiny_model("llama"))
        assert "laid end to end" in job.objection("packing")
        with pytest.raises(SwiftError, match="wraps the whole model"):
            self.job("sft", model=tiny_model("llama"), tuner=["one=unsloth", "two=lora"])

    def test_where_there_is_a_gpu_it_says_how_to_install_it(self, monkeypatch):
        """What a machine with a GPU and without the library is told."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        job = self.job("sft", model=tiny_model("llama"), device="auto")
        with pytest.raises(SwiftError, match=r"swift-plugin-unsloth\[unsloth\]"):
            check_unsloth(job)


class TestUnslothLoader(ComponentContract):
    kind = "loader"
    name = "unsloth"

    def test_bits_come_from_bitsandbytes(self):
        from transformers import BitsAndBytesConfig, HqqConfig

        assert bits_of(None) == {"load_in_4bit": False, "load_in_8bit": False}
        assert bits_of(BitsAndBytesConfig(load_in_4bit=True)) == {"load_in_4bit": True, "load_in_8bit": False}
        with pytest.raises(SwiftError, match="--quantizer bnb"):
            bits_of(HqqConfig())
