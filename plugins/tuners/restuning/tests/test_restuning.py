"""Res-Tuning keeps the tuner contract; its bypass is the paper's recurrence, outside the backbone."""

from swift_testing import TunerContract


class TestResTuning(TunerContract):
    name = "restuning"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"restuning_size": 8}
    trains = r"layers\.1\.restuning_default\."
    identity_at_start = True
    merges = False

    def test_follows_the_recurrence(self):
        """h_l = λ_l·T(x_l) + (1 − λ_l)·(h_{l−1} + V(h_{l−1})), added to what the last block puts out."""
        import torch
        from swift_testing.steps import learn

        model = self.tune("llama").model
        learn(model, 3, 0.05)
        bypass = model.model.layers[1].restuning_default
        x = [torch.randn(2, 5, 64) for _ in range(2)]
        bypass.features.update(enumerate(x))
        h = torch.zeros(2, 5, 64)
        for number in range(2):
            mix = bypass.mix[number]
            h = mix * bypass.horizontal[number](x[number]) + (1 - mix) * (h + bypass.vertical[number](h))
        assert torch.allclose(bypass(x[1], x[1]), x[1] + h, atol=1e-6)
        assert h.abs().max() > 1e-3

    def test_no_activation_of_the_backbone_is_kept_for_gradients(self):
        """What the blocks put out carries no gradient: nothing is differentiated through them."""
        import torch

        model = self.tune("llama").model.train()
        seen = []
        model.model.layers[0].register_forward_hook(lambda _, __, output: seen.append(output))
        out = model(input_ids=torch.arange(3, 9).unsqueeze(0)).logits
        assert out.requires_grad
        assert not (seen[0][0] if isinstance(seen[0], tuple) else seen[0]).requires_grad
