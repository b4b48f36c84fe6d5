"""torchao keeps the quantizer contract in each of its forms."""

import pytest
import torch
from swift_testing import QuantizerContract
from swift_testing.quantizers import compare_gradients, logits
from swift_testing.tiny import tiny_llama
from torchao import quantization

from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_model


def given(name, **options):
    """The job that these options make."""
    return prepare(name, [Given(k, v, "test") for k, v in options.items()])


def parts(tensor):
    """The plain tensors of which a tensor subclass is made."""
    if hasattr(tensor, "__tensor_flatten__"):
        return [p for name in tensor.__tensor_flatten__()[0] for p in parts(getattr(tensor, name))]
    return [tensor]


class TestInt8(QuantizerContract):
    name = "torchao"
    least_logit_cosine = 0.99
    least_gradient_cosine = 0.95

    def bytes_of(self, model):
        """Subclasses report the bytes of what they stand for; an INT4 entry takes a whole byte on the CPU."""
        return sum(p.nbytes for t in model.state_dict().values() for p in parts(t))


class TestFloat8(TestInt8):
    options = {"torchao_type": "float8_weight_only"}
    least_logit_cosine = 0.98


def test_int4_answers_and_trains_no_adapter(tmp_path):
    """Its answers are near the original's; transformers refuses to train on it, and so does a job before it loads."""
    folder = tiny_llama(tmp_path, hidden_size=128)
    told = {"model": folder, "torch_dtype": "float32", "device": "cpu"}
    int4 = {"quantizer": "torchao", "torchao_type": "int4_weight_only"}
    plain, small = (logits(load_model(given("infer", **told, **more))[0]) for more in ({}, int4))
    assert torch.cosine_similarity(plain.flatten(), small.flatten(), dim=0) > 0.8
    with pytest.raises(SwiftError, match=r"trains no adapters: .* weights of 8 bits alone. Say --torchao_type int8"):
        given("sft", dataset=["rows.jsonl"], tuner=["lora"], **told, **int4)


def test_the_contract_catches_quantized_activations(tmp_path, monkeypatch):
    """Why the forms with quantized activations are left out: finite losses, and wrong gradients in the first layers."""
    monkeypatch.setattr(quantization, "Int8WeightOnlyConfig", quantization.Int8DynamicActivationInt8WeightConfig)
    contract = TestInt8()
    pair = contract.make_pair(tiny_llama(tmp_path, hidden_size=128, num_hidden_layers=4))
    near, ratio = compare_gradients(pair.plain, pair.quantized)[0]
    assert near < contract.least_gradient_cosine and ratio < contract.gradient_norms[0]
