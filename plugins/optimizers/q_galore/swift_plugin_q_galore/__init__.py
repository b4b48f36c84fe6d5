"""Q-GaLore: GaLore on INT8 weights, with INT4 projections renewed only as needed (Zhang et al., arXiv 2407.08296)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Optimizer, Tuner, declared
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class QGaLore(Optimizer):
    """Full weights train while they are stored in INT8: low-rank updates rounded at random, moments in 8 bits."""

    swift_api = 1
    capabilities = {
        "fsdp": Unsupported("it stores weights as INT8 and updates them inside the backward pass."),
        "deepspeed": Unsupported("it stores weights as INT8 and updates them inside the backward pass."),
        "launcher": Unsupported("it updates weights inside the backward pass, before the processes have met."),
        "fp16": Unsupported("loss scaling looks at all gradients before any is used; say --bf16 true."),
        "quantizer": Unsupported("it quantizes the weights itself, in a form that it can train."),
    }

    galore_rank: int = option(128, "Rank r of the projected gradient.", ge=1, symbol="r")
    galore_update_proj_gap: int = option(
        50, "T: steps between two singular value decompositions, at the start.", ge=1, symbol="T"
    )
    galore_scale: float = option(1.0, "α: factor of the projected update.", gt=0, symbol="α")
    galore_target_modules: list[str] = option(
        ["all-linear"], "Layers that are quantized and projected: parts of names, or all-linear (without the head)."
    )
    q_galore_cos_threshold: float = option(
        0.4, "Two subspaces in a row with a cosine above this count as settled.", ge=0, le=1, symbol=""
    )
    q_galore_queue_size: int = option(5, "k: so many cosines are averaged.", ge=1, symbol="k")
    q_galore_gamma_proj: float = option(2.0, "A settled subspace is kept this many times longer.", ge=1, symbol="")
    q_galore_group_size: int = option(256, "Entries of a weight or projection that share a scale.", ge=16, symbol="")

    @hookimpl
    def create_optimizer(self, job: Job, model: Any) -> Any:
        from swift_plugin_runtime.optimizing import layerwise

        from swift_plugin_q_galore.optimizer import QGaLoreAdamW
        from swift_plugin_q_galore.weights import store_as_int8

        layerwise.check_layerwise(job, "Q-GaLore")
        if not any(declared(c.component, Tuner, "trains_whole_weights") for c in job.many("tuner")):
            raise SwiftError("Q-GaLore trains whole weights: say --tuner full.")
        named = None if self.galore_target_modules == ["all-linear"] else self.galore_target_modules
        ids = {id(weight) for weight in layerwise.hidden_matrices(model, named)}
        stored = [
            store_as_int8(module, self.q_galore_group_size)
            for module in model.modules()
            if id(getattr(module, "weight", None)) in ids
        ]
        settings = {
            "rank": self.galore_rank,
            "gap": self.galore_update_proj_gap,
            "scale": self.galore_scale,
            "threshold": self.q_galore_cos_threshold,
            "queue": self.q_galore_queue_size,
            "gamma": self.q_galore_gamma_proj,
        }
        groups = layerwise.groups(job, model, [w.values for w in stored], **settings)
        return QGaLoreAdamW(groups, stored, **layerwise.adam_settings(job))
