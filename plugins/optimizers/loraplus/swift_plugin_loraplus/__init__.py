"""LoRA+: the matrices B, which start at zero, learn faster than A (Hayou et al., arXiv 2402.12354)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.options import training_options

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Optimizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class LoraPlus(Optimizer):
    """AdamW whose learning rate is λ times higher for the B matrices of LoRA than for A."""

    swift_api = 1

    loraplus_lr_ratio: float = option(
        16.0, "λ: learning rate of B over that of A.", ge=1, aliases=("lorap_lr_ratio",), symbol="λ"
    )
    loraplus_lr_embedding: float = option(1e-6, "Learning rate of adapters on embeddings.", ge=0, symbol="")

    @hookimpl
    def create_optimizer(self, job: Job, model: Any) -> Any:
        import torch
        from peft.optimizers import create_loraplus_optimizer
        from swift_plugin_runtime.training.arguments import learning_rate

        if not any("lora_B" in name for name, p in model.named_parameters() if p.requires_grad):
            raise SwiftError("LoRA+ is an optimizer of LoRA's matrices, and none train here: say --tuner lora.")
        o = training_options(job)
        return create_loraplus_optimizer(
            model,
            torch.optim.AdamW,
            lr=learning_rate(job),
            loraplus_lr_ratio=self.loraplus_lr_ratio,
            loraplus_lr_embedding=self.loraplus_lr_embedding,
            loraplus_weight_decay=o.weight_decay,
            betas=(o.adam_beta1, o.adam_beta2),
        )
