"""AdamW on weights in 16 bits, in one pass: a piece is widened, updated and rounded back while it is in the cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.optim.adamw import adamw

from swift_plugin_runtime.rounding import Noise, piece_of, round_piece

SETTINGS = ("lr", "weight_decay", "eps", "amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused")
"""What a group of AdamW tells the function of torch that takes the step."""

MOMENTS = {"exp_avg": "exp_avgs", "exp_avg_sq": "exp_avg_sqs", "max_exp_avg_sq": "max_exp_avg_sqs"}
"""Name in the state of AdamW → name in the function; the last one with amsgrad alone."""


@torch.no_grad()
def step_by_pieces(
    optimizer: torch.optim.AdamW, gradients: dict[Any, Any], master: Callable[[Any], Any], noise: Noise, keys: Any
) -> None:
    """One step of `optimizer` on the weights that `gradients` names; its state is what AdamW itself would keep.

    Each gradient has the shape of its weight. master: weight → its float32 master in one block of memory, or the
    weight where it has none. keys: weight → its number in `noise`, which rounds it. The weights keep their type: one
    whose type changes, if only for a moment, loses the hooks by which DistributedDataParallel averages its gradient.
    """
    room = _Room()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter in gradients:
                state = optimizer.state[parameter]
                state.update(_whole(state or _first_state(parameter, group)))
                weight = parameter.detach().contiguous()
                columns = {"weight": weight, "gradient": gradients[parameter], "master": master(parameter), **state}
                _step(columns, group, room, partial(noise.draw, key=keys(parameter)))
                if not parameter.is_contiguous():
                    parameter.detach().copy_(weight)


class _Room:
    """Where pieces become float32: the same memory for all of them."""

    def __init__(self) -> None:
        self.places: dict[tuple[torch.device, str], torch.Tensor] = {}

    def widened(self, piece: torch.Tensor, use: str) -> torch.Tensor:
        """`piece` in float32, until the next piece of the same use."""
        key = piece.device, use
        if key not in self.places:
            self.places[key] = torch.empty(piece_of(piece.device), device=piece.device)
        return self.places[key][: len(piece)].copy_(piece)


def _first_state(parameter: Any, group: dict[str, Any]) -> dict[str, torch.Tensor]:
    on_device = group["fused"] or group["capturable"]
    moments = list(MOMENTS)[: 3 if group["amsgrad"] else 2]
    zeros = {name: torch.zeros(parameter.shape, device=parameter.device) for name in moments}
    return {"step": torch.zeros((), device=parameter.device if on_device else "cpu"), **zeros}


def _whole(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same in one block of memory each."""
    return {name: value.contiguous() for name, value in state.items()}


def _step(columns: dict[str, Any], group: dict[str, Any], room: _Room, draw: Callable[..., Any]) -> None:
    """The step of one weight, piece by piece, on its master, or on itself where there is none.

    columns: weight, gradient and master, and AdamW's state. draw: from a piece and its number, what rounds it.
    """
    before = columns.pop("step")
    together = piece_of(columns["weight"].device)
    pieces = {name: column.reshape(-1).split(together) for name, column in columns.items()}
    for number, piece in enumerate(dict(zip(pieces, row, strict=True)) for row in zip(*pieces.values(), strict=True)):
        master = piece["master"] if piece["master"].dtype == torch.float32 else room.widened(piece["weight"], "weight")
        _update(group, master, room.widened(piece["gradient"], "gradient"), piece, before.clone())
        round_piece(piece["weight"], master, draw(master, number=number))
    before += 1


def _update(group: dict[str, Any], weight: Any, gradient: Any, moments: dict[str, Any], step: Any) -> None:
    """AdamW's step on float32 tensors of one shape, with the settings of the group; `step` is counted up."""
    beta1, beta2 = group["betas"]
    settings = {key: group[key] for key in SETTINGS}
    lists = {given: [moments[name]] if name in moments else [] for name, given in MOMENTS.items()}
    adamw([weight], [gradient], state_steps=[step], beta1=beta1, beta2=beta2, **lists, **settings)
