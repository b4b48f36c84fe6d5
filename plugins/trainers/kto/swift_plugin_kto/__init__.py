"""Kahneman-Tversky optimisation (Ethayarajh et al., arXiv 2402.01306): answers marked good or bad, no pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from swift_plugin_runtime.options import TrainingOptions

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Kto(TrainingOptions):
    """Kahneman-Tversky optimisation (arXiv 2402.01306): learns from single answers labelled good or bad."""

    swift_api = 1
    ignores = ("rejected",)
    needs_reference: ClassVar[bool] = True
    capabilities = {
        "packing": Unsupported("each answer is compared with the reference as a row of its own."),
    }

    loss_type: Literal["kto", "apo_zero_unpaired"] = option(
        "kto", "kto, or apo_zero_unpaired: the same without the divergence as reference point (arXiv 2408.06266)."
    )
    beta: float = option(0.1, "β: how strongly the policy is held to the reference.", gt=0)
    desirable_weight: float = option(1.0, "λ_D: weight of answers labelled true.", gt=0)
    undesirable_weight: float = option(1.0, "λ_U: weight of answers labelled false.", gt=0)

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_kto.trainer import build_label_trainer

        return build_label_trainer(job, model, processor, rows, eval_rows, self)
