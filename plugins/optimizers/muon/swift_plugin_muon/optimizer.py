"""Muon for matrices, AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from swift_plugin_runtime.optimizing.layerwise import Stepwise, decay


class MuonWithAdamW(Stepwise):
    """Matrix groups carry `momentum` μ, `steps` of Newton-Schulz and `scale`."""

    def update_matrix(self, parameter: Any, gradient: Any, group: dict[str, Any], state: dict[str, Any]) -> None:
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(gradient)
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        ahead = torch.lerp(gradient, state["momentum"], group["momentum"])  # Nesterov
        decay(parameter, group)
        size = group["lr"] * group["scale"] * max(parameter.shape) ** 0.5
        parameter.add_(orthogonalised(ahead, group["steps"]).to(parameter.dtype), alpha=-size)


def orthogonalised(matrix: Any, steps: int) -> Any:
    """Nearly U·Vᵀ of matrix = U·S·Vᵀ: all singular values brought near 1 by a quintic iteration.

    Coefficients as in the authors' note: steep at 0, at the price of values between 0.7 and 1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).float()
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
