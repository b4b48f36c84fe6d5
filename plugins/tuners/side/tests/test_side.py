"""Side-tuning keeps the tuner contract; it blends by α."""

from swift_testing import TunerContract


class TestSide(TunerContract):
    name = "side"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"side_size": 16}
    trains = r"layers\.1\.side_default\."
    merges = False

    def test_starts_near_the_frozen_model(self, trained):
        """Half of the last hidden state is normalised to nearly the whole one's direction and length."""
        import torch

        tuned, start = trained("llama").tuned, trained("llama").start
        assert torch.nn.functional.cosine_similarity(start.flatten(), tuned.base.flatten(), dim=0) > 0.9999

    def test_blends_by_alpha(self):
        """α = σ(a): far to one side the frozen model answers alone, far to the other the side network."""
        import torch

        model = self.tune("llama").model
        side = model.model.layers[1].side_default
        torch.nn.init.normal_(side.network[-1].weight)
        output, side.embedded[0] = torch.randn(2, 5, 64), torch.randn(2, 5, 64)
        for a, wanted in ((30.0, output), (-30.0, side.network(side.embedded[0]))):
            side.balance.data.fill_(a)
            assert torch.allclose(side(output, output), wanted, atol=1e-5)
