"""APOLLO keeps the optimizer contract; at full rank with an orthonormal projection it scales as Adam does."""

import torch
from swift_plugin_apollo.optimizer import ApolloAdamW, projection
from swift_testing import OptimizerContract
from swift_testing.steps import train_step


class TestApollo(OptimizerContract):
    name = "apollo"
    options = {"apollo_rank": 4, "apollo_update_proj_gap": 3}

    def test_state_is_of_rank_r(self):
        model, optimizer = self.build()
        train_step(model, optimizer)
        assert optimizer.state[model.model.layers[0].mlp.gate_proj.weight]["exp_avg"].shape == (4, 128)  # of 128 x 64


class TestLayerwise(TestApollo):
    options = {"apollo_rank": 1, "apollo_scale_type": "tensor", "apollo_scale": 11.3, "apollo_layerwise": True}

    def test_state_is_of_rank_r(self):
        model, optimizer = self.build()
        train_step(model, optimizer)
        assert all(p.grad is None for p in model.parameters())
        assert optimizer.state[model.model.layers[0].mlp.gate_proj.weight]["exp_avg"].shape == (1, 128)


def test_first_update_is_the_gradient_scaled_by_the_ratio_of_norms():
    """Equations 4 and 5, with the projection drawn again from its seed."""
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(6, 10))
    start, weight.grad = weight.detach().clone(), torch.randn(6, 10)
    settings = {"rank": 3, "scale_type": "channel", "scale": 1.0, "gap": 5, "limit": 1.01, "matrix": True}
    group = {"params": [weight], "weight_decay": 0.0, **settings}
    optimizer = ApolloAdamW([group], lr=0.1, betas=(0.9, 0.95), eps=1e-8)
    optimizer.step()
    projected = projection(6, 3, 0, weight) @ weight.grad
    adam = projected / (projected.abs() + 1e-8)  # the first step of Adam: the sign
    factor = adam.norm(dim=0) / projected.norm(dim=0)
    assert torch.allclose(weight.detach(), start - 0.1 * weight.grad * factor, atol=1e-5)
