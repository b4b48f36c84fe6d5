"""GaLore inside the backward pass: one gradient at a time in memory."""

from __future__ import annotations

from typing import Any

from galore_torch.galore_projector import GaLoreProjector
from swift_plugin_runtime.stepwise import Stepwise, adam_direction


class LayerwiseGaLore(Stepwise):
    """AdamW as `galore_torch.GaLoreAdamW` steps, its ε beside √v before the corrections, decay after the update."""

    def update_matrix(self, parameter: Any, gradient: Any, group: dict[str, Any], state: dict[str, Any]) -> None:
        if "projector" not in state:
            settings = {k: group[k] for k in ("update_proj_gap", "scale", "proj_type")}
            state["projector"] = GaLoreProjector(group["rank"], **settings)
        low = state["projector"].project(gradient, state["step"] - 1)
        correction = (1 - group["betas"][1] ** state["step"]) ** 0.5
        direction = adam_direction(low, {**group, "eps": group["eps"] / correction}, state)
        parameter.add_(state["projector"].project_back(direction), alpha=-group["lr"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
