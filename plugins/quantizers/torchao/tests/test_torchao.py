"""torchao keeps the quantizer contract in each of its forms."""

from swift_testing import QuantizerContract
from swift_testing.quantizers import compare_gradients
from swift_testing.tiny import tiny_llama
from torchao import quantization


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


class TestInt4(TestInt8):
    options = {"torchao_type": "int4_weight_only"}
    least_logit_cosine = 0.8
    least_gradient_cosine = 0.6


def test_the_contract_catches_quantized_activations(tmp_path, monkeypatch):
    """Why the forms with quantized activations are left out: finite losses, and wrong gradients in the first layers."""
    monkeypatch.setattr(quantization, "Int8WeightOnlyConfig", quantization.Int8DynamicActivationInt8WeightConfig)
    contract = TestInt8()
    pair = contract.make_pair(tiny_llama(tmp_path, hidden_size=128, num_hidden_layers=4))
    near, ratio = compare_gradients(pair.plain, pair.quantized)[0]
    assert near < contract.least_gradient_cosine and ratio < contract.gradient_norms[0]
