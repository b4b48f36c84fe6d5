"""SGD that steps inside the backward pass."""

from __future__ import annotations

from typing import Any

from swift_plugin_runtime.optimizing.layerwise import Stepwise, decay


class FusedSgd(Stepwise):
    """Groups carry `clip`, the largest size of a gradient's entries, or None."""

    def update_matrix(self, parameter: Any, gradient: Any, group: dict[str, Any], state: dict[str, Any]) -> None:
        if group["clip"] is not None:
            gradient = gradient.clamp(-group["clip"], group["clip"])
        decay(parameter, group)
        parameter.add_(gradient.to(parameter.dtype), alpha=-group["lr"])
