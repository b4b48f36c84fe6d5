"""AdaLomo keeps the optimizer contract; its state is two vectors a matrix; its step is the paper's."""

from swift_testing import OptimizerContract


class TestAdaLomo(OptimizerContract):
    name = "adalomo"
    learning_rate = 0.02

    def test_state_of_a_matrix_is_two_vectors(self):
        from swift_testing.steps import train_step

        model, optimizer = self.build()
        train_step(model, optimizer)
        state = optimizer.state[model.model.layers[0].mlp.gate_proj.weight]
        assert (state["rows"].shape, state["columns"].shape) == ((128,), (64,))
        assert all(p.grad is None for p in model.parameters())


def test_first_step_is_the_papers():
    """u = g/√(r·cᵀ/Σr), clipped to a root mean square of 1, times max(ε, RMS(W)): algorithm 1."""
    import torch
    from swift_plugin_adalomo.optimizer import FusedAdaptive

    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(5, 7) * 0.3)
    start, g = weight.detach().clone(), torch.randn(5, 7)
    group = {"params": [weight], "matrix": True, "beta": 0.99, "clip": 1.0, "weight_decay": 0.0}
    optimizer = FusedAdaptive([group], layerwise=True, lr=0.1, betas=(0.9, 0.95), eps=1e-8)
    (weight * g).sum().backward()
    v = torch.outer((g**2).mean(1), (g**2).mean(0)) / (g**2).mean()
    u = g / v.sqrt()
    u = u / max(1.0, u.pow(2).mean().sqrt().item())
    assert torch.allclose(weight.detach(), start - 0.1 * start.pow(2).mean().sqrt() * u, atol=1e-5)
    assert optimizer.state[weight]["step"] == 1
