"""Adaptive steps inside the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from swift_plugin_runtime.optimizing.layerwise import Stepwise, decay


class FusedAdaptive(Stepwise):
    """Groups carry `beta` and `clip`. The second moment of a matrix is kept as means of its rows and columns."""

    def update_matrix(self, parameter: Any, gradient: Any, group: dict[str, Any], state: dict[str, Any]) -> None:
        gradient = gradient.float()
        unbias = 1 - group["beta"] ** state["step"]
        second = self.second_moment(gradient.square() + 1e-30, group["beta"], state) / unbias
        update = gradient * second.rsqrt()
        update = update / torch.clamp(rms(update) / group["clip"], min=1.0)
        size = torch.clamp(rms(parameter.float()), min=1e-3)
        decay(parameter, group)
        parameter.add_((update * size).to(parameter.dtype), alpha=-group["lr"])

    def second_moment(self, square: Any, beta: float, state: dict[str, Any]) -> Any:
        """The running mean of the squared gradient, of a matrix rebuilt from rows and columns."""
        if square.dim() < 2:
            return running(state, "square", square, beta)
        rows = running(state, "rows", square.mean(dim=-1), beta)
        columns = running(state, "columns", square.mean(dim=-2), beta)
        return rows.unsqueeze(-1) * columns.unsqueeze(-2) / rows.mean(dim=-1, keepdim=True).unsqueeze(-1)


def running(state: dict[str, Any], key: str, value: Any, beta: float) -> Any:
    """state[key] ← β·state[key] + (1 − β)·value."""
    state[key] = beta * state.get(key, torch.zeros_like(value)) + (1 - beta) * value
    return state[key]


def rms(tensor: Any) -> Any:
    """Root mean square."""
    return tensor.square().mean().sqrt()
