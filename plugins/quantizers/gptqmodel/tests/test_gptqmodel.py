"""GPTQ and AWQ: packed weights against the formula; what is refused; and, where asked for, the whole way."""

import json
import os
from pathlib import Path

import pytest
import torch
from swift_plugin_gptqmodel.packed import PackedLinear
from swift_testing import ComponentContract, QuantizerContract
from swift_testing.contracts import CHAT, tiny_model, write_rows
from swift_testing.quantizers import compare_apart
from swift_testing.tiny import tiny_llama

from swift_core.catalogue import venvs
from swift_core.contract.errors import SwiftError
from swift_core.jobs.steps import load_model

AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def codes(groups=4, size=8, out=16):
    """(levels, zeros, scales, weight) of a random layer of 4 bits: weight = (level - zero) · scale."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(0, 16, (groups * size, out), generator=generator)
    zeros = torch.randint(1, 16, (groups, out), generator=generator)
    scales = torch.rand(groups, out, generator=generator)
    number = torch.arange(groups * size) // size
    return levels, zeros, scales, (levels - zeros[number]) * scales[number]


def packed_rows(levels):
    """Eight rows in an int32, the first lowest."""
    rows = levels.view(-1, 8, levels.shape[1])
    return sum(rows[:, i] << (4 * i) for i in range(8)).to(torch.int32)


def packed_columns(levels, order):
    columns = levels.view(levels.shape[0], -1, 8)
    return sum(columns[:, :, order[i]] << (4 * i) for i in range(8)).to(torch.int32)


@pytest.mark.parametrize("kind", ["gptq", "gptq_v2", "awq"])
def test_unpacks_what_the_formats_pack(kind):
    """AutoGPTQ's format stores zero points less one, its second version as they are; AWQ interleaves columns."""
    levels, zeros, scales, weight = codes()
    with torch.device("meta"):  # where transformers makes it; all that is not in the checkpoint would be lost
        layer = PackedLinear(32, 16, False, bits=4, group_size=8, kind=kind)
    layer = layer.to_empty(device="cpu")
    if kind == "awq":
        tensors = packed_columns(levels, AWQ_ORDER), packed_columns(zeros, AWQ_ORDER)
    else:
        tensors = packed_rows(levels), packed_columns(zeros - int(kind == "gptq"), range(8))
        layer.g_idx.copy_(torch.arange(32) // 8)
    layer.qweight.copy_(tensors[0])
    layer.qzeros.copy_(tensors[1])
    layer.scales.copy_(scales)
    x = torch.randn(3, 32, requires_grad=True)
    out = layer(x)
    assert torch.allclose(out, x @ weight.to(layer.scales.dtype), atol=1e-4)
    out.sum().backward()
    assert torch.allclose(x.grad, weight.sum(dim=1).expand(3, -1), atol=1e-4)


class TestGptq(ComponentContract):
    kind = "quantizer"
    name = "gptq"

    def test_a_plain_checkpoint_says_how_to_make_a_packed_one(self):
        job = self.job("sft", model=tiny_model("llama"))
        with pytest.raises(SwiftError, match="swift export --quant_method gptq"):
            load_model(job)

    def test_calibration_needs_rows(self, tmp_path):
        job = self.job("export", model=tiny_model("llama"), output_dir=str(tmp_path / "out"))
        with pytest.raises(SwiftError, match="say --dataset"):
            job.run()


class TestAwq(ComponentContract):
    kind = "quantizer"
    name = "awq"

    def test_other_bits_are_refused_before_anything_is_installed(self, tmp_path):
        rows = write_rows(tmp_path, CHAT)
        values = {"model": tiny_model("llama"), "dataset": [rows], "output_dir": str(tmp_path / "out")}
        job = self.job("export", quant_bits=8, **values)
        with pytest.raises(SwiftError, match="AWQ packs 4 bits"):
            job.run()

    def test_groups_that_do_not_divide_the_layers_are_refused_before_anything_is_installed(self, tmp_path):
        rows = write_rows(tmp_path, CHAT)
        values = {"model": tiny_model("llama"), "dataset": [rows], "output_dir": str(tmp_path / "out")}
        with pytest.raises(SwiftError, match="have 64 and 128; say --quant_group_size 64, which divides them"):
            self.job("export", quant_group_size=128, **values).run()


LONG = [{"query": "What is in the picture? " * 8, "response": f"The answer is here: {n}. " * 8} for n in range(8)]


CPU = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""


class Made(QuantizerContract):
    """What `swift export` writes with GPTQModel, loaded and trained on."""

    at_load = False
    rows = LONG
    options = {"quant_group_size": 32}

    @pytest.mark.skipif("avx512_bf16" not in CPU, reason="only CPUs with AVX512-BF16 repack the weights")
    def test_the_contract_catches_the_automatic_backends(self, tmp_path):
        """Why they are not used: after an evaluation, gradients of the first layer that are wrong, and too short."""
        plain = tiny_llama(tmp_path / "plain", hidden_size=128, num_hidden_layers=4)
        made, python = self.quantize_offline(plain), venvs.find("gptq").create()
        near, ratio = compare_apart(plain, made, python, "auto_trainable", tmp_path)[0]
        assert near < self.least_gradient_cosine and ratio < self.gradient_norms[0]


asked = pytest.mark.skipif("SWIFT_TEST_GPTQ" not in os.environ, reason="makes an environment: SWIFT_TEST_GPTQ=1")


@asked
class TestMadeByGptq(Made):
    name = "gptq"

    def test_its_checkpoint_is_known_without_being_told(self, tmp_path):
        """Another job finds the method in config.json."""
        folder = self.quantize_offline(tiny_llama(tmp_path, hidden_size=128))
        made = json.loads(Path(folder, "config.json").read_text())["quantization_config"]
        assert (made["quant_method"], made["bits"]) == ("gptq", 4)
        self.choice = dict
        self.options = {}
        assert self.job("infer", model=folder).many("quantizer")[0].entry.name == "gptq"


@asked
class TestMadeByAwq(Made):
    name = "awq"
