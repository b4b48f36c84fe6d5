"""APOLLO: Adam's scaling, estimated in a random low-rank space, on the gradient (Zhu et al., arXiv 2412.05270)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.components import Optimizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Apollo(Optimizer):
    """Gradients scaled per channel as Adam would, estimated from a random projection: SGD's memory, Adam's steps."""

    swift_api = 1
    capabilities = {
        "fsdp": Unsupported("it needs whole matrices, and each process holds a part."),
        "deepspeed": Unsupported("it needs whole matrices, and ZeRO keeps flat parts of them."),
    }

    apollo_rank: int = option(
        256, "r: rank of the random projection; 1 with the tensor scale is APOLLO-Mini.", ge=1, symbol="r"
    )
    apollo_scale_type: Literal["channel", "tensor"] = option("channel", "One factor per channel, or per matrix (Mini).")
    apollo_scale: float = option(1.0, "α: factor of the update; the paper has √128 for Mini.", gt=0, symbol="α")
    apollo_update_proj_gap: int = option(200, "T: steps until another projection is drawn.", ge=1, symbol="T")
    apollo_limit: float = option(
        1.01, "γ: the norm of a matrix' update grows by this factor at most in a step.", ge=1, symbol="γ"
    )
    apollo_target_modules: list[str] = option(
        ["all-linear"], "Layers: parts of names, or all-linear (without the head)."
    )
    apollo_layerwise: bool = option(False, "Update each weight in the backward pass and drop its gradient.")

    @hookimpl
    def create_optimizer(self, job: Job, model: Any) -> Any:
        from swift_plugin_runtime.optimizing import layerwise

        from swift_plugin_apollo.optimizer import ApolloAdamW

        if self.apollo_layerwise:
            layerwise.check_layerwise(job, "APOLLO, layer by layer,")
        named = None if self.apollo_target_modules == ["all-linear"] else self.apollo_target_modules
        settings = {
            "rank": self.apollo_rank,
            "scale_type": self.apollo_scale_type,
            "scale": self.apollo_scale,
            "gap": self.apollo_update_proj_gap,
            "limit": self.apollo_limit,
        }
        wanted = layerwise.groups(job, model, layerwise.hidden_matrices(model, named), **settings)
        return ApolloAdamW(wanted, self.apollo_layerwise, **layerwise.adam_settings(job))
