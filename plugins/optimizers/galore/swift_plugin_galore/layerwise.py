"""GaLore inside the backward pass: one gradient at a time in memory."""

from __future__ import annotations

from typing import Any

import torch
from galore_torch.galore_projector import GaLoreProjector
from swift_plugin_runtime.optimizing.layerwise import Stepwise, adam_direction


class LayerwiseGaLore(Stepwise):
    """AdamW as `galore_torch.GaLoreAdamW` steps: ε beside √v before the corrections, decay after the update."""

    @torch.no_grad()
    def update(self, parameter: Any) -> None:
        group, state = self.param_groups[self.place[id(parameter)]], self.state[parameter]
        state["step"] = state.get("step", 0) + 1
        correction = (1 - group["betas"][1] ** state["step"]) ** 0.5
        group = {**group, "eps": group["eps"] / correction}
        if group["matrix"]:
            change = self.projected(parameter.grad, group, state)
        else:
            change = adam_direction(parameter.grad, group, state)
        parameter.add_(change, alpha=-group["lr"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])

    def projected(self, gradient: Any, group: dict[str, Any], state: dict[str, Any]) -> Any:
        """Adam's direction in the gradient's subspace of rank r, brought back to the matrix."""
        if "projector" not in state:
            settings = {k: group[k] for k in ("update_proj_gap", "scale", "proj_type")}
            state["projector"] = GaLoreProjector(group["rank"], **settings)
        low = state["projector"].project(gradient, state["step"] - 1)
        return state["projector"].project_back(adam_direction(low, group, state))
