"""LOMO: SGD fused with the backward pass, one gradient at a time in memory (Lv et al., arXiv 2306.09782)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.components import Optimizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Lomo(Optimizer):
    """Full weights train in the memory of inference: each gradient is used and dropped in the backward pass."""

    swift_api = 1
    capabilities = {
        "fsdp": Unsupported("it updates weights inside the backward pass, before the processes have met."),
        "deepspeed": Unsupported("it updates weights inside the backward pass, which ZeRO has hooks of its own in."),
        "launcher": Unsupported("it updates weights inside the backward pass, before the processes have met."),
        "fp16": Unsupported("loss scaling looks at all gradients before any is used; say --bf16 true."),
    }

    lomo_clip_grad_value: float | None = option(
        1.0, "Entries of gradients are clipped to ± this; none: not at all.", symbol=""
    )

    @hookimpl
    def create_optimizer(self, job: Job, model: Any) -> Any:
        from swift_plugin_runtime.optimizing import layerwise

        from swift_plugin_lomo.optimizer import FusedSgd

        layerwise.check_layerwise(job, "LOMO")
        every = [p for p in model.parameters() if p.requires_grad]
        wanted = layerwise.groups(job, model, every, clip=self.lomo_clip_grad_value)
        return FusedSgd(wanted, layerwise=True, **layerwise.adam_settings(job))
