"""AdaLomo: LOMO with a factored second moment and normalised updates (Lv et al., arXiv 2310.10195)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.components import Optimizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class AdaLomo(Optimizer):
    """Full weights train almost in the memory of inference, with steps as adaptive as Adafactor's (AdaLomo)."""

    swift_api = 1
    capabilities = {
        "fsdp": Unsupported("it updates weights inside the backward pass, before the processes have met."),
        "deepspeed": Unsupported("it updates weights inside the backward pass, which ZeRO has hooks of its own in."),
        "launcher": Unsupported("it updates weights inside the backward pass, before the processes have met."),
        "fp16": Unsupported("loss scaling looks at all gradients before any is used; say --bf16 true."),
    }

    adalomo_beta: float = option(0.99, "β: decay of the second moment.", gt=0, lt=1, symbol="β")
    adalomo_clip_threshold: float = option(
        1.0, "Largest root mean square of an update before W's size scales it.", gt=0, symbol=""
    )

    @hookimpl
    def create_optimizer(self, job: Job, model: Any) -> Any:
        from swift_plugin_runtime.optimizing import layerwise

        from swift_plugin_adalomo.optimizer import FusedAdaptive

        layerwise.check_layerwise(job, "AdaLomo")
        every = [p for p in model.parameters() if p.requires_grad]
        wanted = layerwise.groups(job, model, every, beta=self.adalomo_beta, clip=self.adalomo_clip_threshold)
        return FusedAdaptive(wanted, layerwise=True, **layerwise.adam_settings(job))
