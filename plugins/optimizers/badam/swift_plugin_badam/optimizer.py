"""AdamW on one block of parameters at a time."""

from __future__ import annotations

import random
from typing import Any

import torch
from swift_plugin_runtime.optimizing.layerwise import Stepwise


class BlockAdamW(Stepwise):
    """Every `interval` steps another of `blocks` trains; the others have neither gradient nor moments.

    The step count lies in the first group, so that a saved state goes on with the right block.
    """

    def __init__(
        self,
        blocks: list[list[Any]],
        interval: int,
        order: str,
        seed: int,
        weight_decay: float,
        settings: dict[str, Any],
    ):
        self.blocks, self.interval, self.order, self.seed = blocks, interval, order, seed
        made = [
            {"params": [p for p in block if (p.dim() > 1) == matrices], "weight_decay": weight_decay * matrices}
            for block in blocks
            for matrices in (True, False)
        ]
        super().__init__([group for group in made if group["params"]], **settings)
        self.param_groups[0]["taken"] = 0
        self.open(self.block_at(0))

    def block_at(self, step: int) -> int:
        """The block that trains at a step: every block once a round, in an order drawn for the round."""
        turn = step // self.interval
        round_number, place = divmod(turn, len(self.blocks))
        numbers = list(range(len(self.blocks)))
        if self.order == "random":
            random.Random(f"{self.seed}:{round_number}").shuffle(numbers)
        return numbers[::-1][place] if self.order == "descending" else numbers[place]

    def open(self, number: int) -> None:
        """Let one block train, and drop what the others hold."""
        for index, block in enumerate(self.blocks):
            for parameter in block:
                parameter.requires_grad_(index == number)
                if index != number:
                    parameter.grad = None
                    self.state.pop(parameter, None)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        super().step(closure)
        taken = self.param_groups[0]["taken"] = self.param_groups[0]["taken"] + 1
        if taken % self.interval == 0:
            for block in self.blocks:
                for parameter in block:
                    self.state.pop(parameter, None)
            self.open(self.block_at(taken))

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self.open(self.block_at(self.param_groups[0]["taken"]))
