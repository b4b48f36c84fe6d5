"""Schedule-free AdamW and RAdam: averaging in the place of a schedule (Defazio et al., arXiv 2405.15682)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_plugin_runtime.options import training_options

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Optimizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class ScheduleFree(Optimizer):
    """AdamW or RAdam that averages its iterates, so that no end of the schedule need be known (arXiv 2405.15682)."""

    swift_api = 1
    capabilities = {"fsdp": Unsupported("evaluation and training weights are swapped in place, whole.")}

    schedule_free_kind: Literal["adamw", "radam"] = option("adamw", "Which method; radam needs no warm-up.")
    schedule_free_warmup_steps: int = option(0, "T_warmup: AdamW's own warm-up, in steps.", ge=0, symbol="T_warmup")
    schedule_free_r: float = option(
        0.0, "r: later iterates weigh more by their number to this power.", ge=0, symbol="r"
    )

    @hookimpl
    def create_optimizer(self, job: Job, model: Any) -> Any:
        import schedulefree
        from swift_plugin_runtime.optimizing import layerwise

        schedule = training_options(job).lr_scheduler_type
        if schedule != "constant":
            raise SwiftError(
                f"A schedule-free optimizer averages in the place of a schedule; --lr_scheduler_type "
                f"{schedule} would lower the rate a second time. Say --lr_scheduler_type constant."
            )
        groups = [{k: v for k, v in g.items() if k != "matrix"} for g in layerwise.groups(job, model)]
        settings = {**layerwise.adam_settings(job), "r": self.schedule_free_r}
        if self.schedule_free_kind == "radam":
            return schedulefree.RAdamScheduleFree(groups, **settings)
        return schedulefree.AdamWScheduleFree(groups, warmup_steps=self.schedule_free_warmup_steps, **settings)
