"""ReFT keeps the tuner contract, and computes the paper's equation."""

from swift_testing import TunerContract


class TestReft(TunerContract):
    name = "reft"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"reft_rank": 4}
    trains = r"layers\.\d\.reft_default\."
    merges = False

    def test_computes_equation_2(self):
        """The block's output is h + Rᵀ(W·h + b − R·h), and R's rows stay orthonormal while it learns."""
        import torch
        from swift_testing.steps import learn

        model = self.tune("llama").model
        learn(model, 3, 0.05)
        edit = model.model.layers[0].reft_default
        r, w, b = edit.rotate.weight, edit.source.weight, edit.source.bias
        assert torch.allclose(r @ r.T, torch.eye(4), atol=1e-5)
        h = torch.randn(2, 5, 64)
        wanted = h + (h @ w.T + b - h @ r.T) @ r
        assert torch.allclose(edit(h, h), wanted, atol=1e-5)

    def test_a_block_that_is_not_there_is_refused(self):
        import pytest

        from swift_core.contract.errors import SwiftError

        self.options = {"reft_layers": [0, 7]}
        with pytest.raises(SwiftError, match="the model has 2 blocks"):
            self.tune("llama")
