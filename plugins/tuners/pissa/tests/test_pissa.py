"""PiSSA keeps the tuner contract, with the exact and with the fast decomposition."""

from swift_testing import TunerContract


class TestPissa(TunerContract):
    name = "pissa"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"lora_rank": 4}
    trains = r"\.lora_[AB]\."
    identity_at_start = True
    rewrites = r"_proj\.base_layer\.weight$"

    def test_starts_from_the_largest_singular_values(self):
        """s·B·A is the best approximation of rank r of the original weight."""
        import torch

        model = self.tune("llama").model
        layer = model.base_model.model.model.layers[0].mlp.up_proj
        update = layer.get_delta_weight("default")
        original = layer.base_layer.weight + update
        u, s, v = torch.linalg.svd(original.double())
        assert torch.allclose(update.double(), u[:, :4] @ torch.diag(s[:4]) @ v[:4], atol=1e-5)


class TestFastPissa(TestPissa):
    options = {"lora_rank": 4, "pissa_niter": 16}
    families = ("llama",)

    def test_starts_from_the_largest_singular_values(self):
        """The randomised decomposition comes near the best approximation's error."""
        import torch

        layer = self.tune("llama").model.base_model.model.model.layers[0].mlp.up_proj
        update = layer.get_delta_weight("default")
        values = torch.linalg.svdvals(layer.base_layer.weight + update)
        assert layer.base_layer.weight.norm() < values[4:].norm() * 1.05
