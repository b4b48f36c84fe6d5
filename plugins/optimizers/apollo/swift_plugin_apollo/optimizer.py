"""APOLLO for matrices, AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from swift_plugin_runtime.optimizing.layerwise import Stepwise, adam_direction, decay


class ApolloAdamW(Stepwise):
    """Matrix groups carry `rank`, `scale_type`, `scale` α, `gap` T and `limit` γ (algorithm 1 of the paper)."""

    def update_matrix(self, parameter: Any, gradient: Any, group: dict[str, Any], state: dict[str, Any]) -> None:
        wide = gradient.shape[0] <= gradient.shape[1]
        flat = (gradient if wide else gradient.T).float()  # [m, n], m the shorter side
        seed = (state["step"] - 1) // group["gap"]
        projected = projection(flat.shape[0], min(group["rank"], flat.shape[0]), seed, flat) @ flat  # [r, n]
        wanted = adam_direction(projected, group, state)
        if group["scale_type"] == "channel":
            factor = wanted.norm(dim=0) / (projected.norm(dim=0) + 1e-8)
        else:
            factor = wanted.norm() / (projected.norm() + 1e-8)
        update = limited(flat * factor, group["limit"], state) * group["scale"]
        decay(parameter, group)
        parameter.add_((update if wide else update.T).to(parameter.dtype), alpha=-group["lr"])


def projection(m: int, rank: int, seed: int, like: Any) -> Any:
    """[rank, m], entries drawn from N(0, 1/rank). Drawn anew from its seed whenever it is needed: it is not kept."""
    drawn = torch.randn(rank, m, generator=torch.Generator().manual_seed(seed)) / rank**0.5
    return drawn.to(like.device)


def limited(update: Any, limit: float, state: dict[str, Any]) -> Any:
    """The update, its norm at most `limit` times that of the step before (section 4.1)."""
    norm, before = float(update.norm()), state.get("norm")
    if before and norm > limit * before:
        update, norm = update * (limit * before / norm), limit * before
    state["norm"] = norm
    return update
