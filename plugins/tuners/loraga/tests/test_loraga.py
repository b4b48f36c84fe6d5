"""LoRA-GA keeps the tuner contract; its start lies along the gradient."""

from swift_testing import TunerContract


class TestLoraGa(TunerContract):
    name = "loraga"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"lora_rank": 4, "lora_alpha": 4, "lora_ga_rows": 4}
    trains = r"\.lora_[AB]\."
    identity_at_start = True
    rewrites = r"_proj\.base_layer\.weight$"
    needs_rows = True

    def test_one_step_moves_along_the_gradient_of_the_whole_weight(self):
        """B's columns lie in the space of the largest singular vectors of the gradient."""
        import torch
        from swift_plugin_runtime.quantizing.calibration import draw_batches

        from swift_core.jobs.steps import load_model

        tuned = self.tune("llama")
        plain = load_model(tuned.job)[0]
        for batch in draw_batches(tuned.job, plain, 4):
            plain(**batch).loss.backward()
        u = torch.linalg.svd(plain.model.layers[0].mlp.up_proj.weight.grad)[0][:, :8]
        b = tuned.model.base_model.model.model.layers[0].mlp.up_proj.lora_B["default"].weight.detach()
        assert (u.T @ b).norm() / b.norm() > 0.98
