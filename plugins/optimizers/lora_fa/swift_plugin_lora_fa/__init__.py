"""LoRA-FA: A stays as it began, B alone learns, along a corrected gradient (Zhang et al., arXiv 2308.03303)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.options import training_options

from swift_core import SwiftError, hookimpl
from swift_core.contract.components import Optimizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class LoraFa(Optimizer):
    """AdamW on B alone, its gradient multiplied by (A·Aᵀ)⁻¹/s²; A and its activations are not kept (LoRA-FA)."""

    swift_api = 1

    @hookimpl
    def create_optimizer(self, job: Job, model: Any) -> Any:
        from peft.optimizers import create_lorafa_optimizer
        from swift_plugin_runtime.training.arguments import learning_rate

        configs = [c for c in getattr(model, "peft_config", {}).values() if getattr(c, "peft_type", None) == "LORA"]
        if not any("lora_B" in name for name, p in model.named_parameters() if p.requires_grad):
            raise SwiftError("LoRA-FA is an optimizer of LoRA's matrices, and none train here: say --tuner lora.")
        (config,) = configs[:1]
        return create_lorafa_optimizer(
            model,
            r=config.r,
            lora_alpha=config.lora_alpha,
            lr=learning_rate(job),
            weight_decay=training_options(job).weight_decay,
            use_rslora=config.use_rslora,
        )
