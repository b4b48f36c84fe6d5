"""BAdam keeps the optimizer contract; one block at a time has gradients and moments; all have their turn."""

from swift_testing import OptimizerContract
from swift_testing.steps import train_step


class TestBAdam(OptimizerContract):
    name = "badam"

    def test_blocks_take_turns(self):
        """K = 2, two layers and the rest: after six steps all have moved; at each time one has moments."""
        self.options = {"badam_switch_interval": 2, "badam_order": "ascending", "badam_train_rest": True}
        model, optimizer = self.build()
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        moved = []
        for step in range(6):
            train_step(model, optimizer)
            now = {n for n, p in model.named_parameters() if not p.detach().equal(before[n])}
            moved.append(now)
            with_state = {n for n, p in model.named_parameters() if optimizer.state.get(p)}
            assert not with_state or step % 2 == 0  # dropped at the end of each turn
        turns = [moved[1], moved[3] - moved[1], moved[5] - moved[3]]
        assert all("layers.0." in n for n in turns[0]) and all("layers.1." in n for n in turns[1])
        assert turns[2] == {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
        assert moved[5] == set(before)

    def test_random_rounds_visit_every_block_once(self):
        self.options = {"badam_switch_interval": 1}
        _, optimizer = self.build()
        for start in (0, 2, 4):
            assert sorted(optimizer.block_at(step) for step in (start, start + 1)) == [0, 1]
