"""Adafactor keeps the optimizer contract; its state is two vectors a matrix."""

from swift_testing import OptimizerContract


class TestAdafactor(OptimizerContract):
    name = "adafactor"

    def test_state_of_a_matrix_is_two_vectors(self):
        from swift_testing.steps import train_step

        model, optimizer = self.build()
        train_step(model, optimizer)
        state = optimizer.state[model.model.layers[0].mlp.gate_proj.weight]
        assert (state["exp_avg_sq_row"].shape, state["exp_avg_sq_col"].shape) == ((128,), (64,))
