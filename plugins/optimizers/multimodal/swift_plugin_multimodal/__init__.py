"""AdamW (arXiv 1711.05101) with a learning rate of its own for language model, aligner and vision tower."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.options import training_options

from swift_core import hookimpl, option
from swift_core.contract.components import Optimizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Multimodal(Optimizer):
    """AdamW; --llm_lr, --aligner_lr and --vit_lr set the rate of a part, --learning_rate that of the others."""

    swift_api = 1

    llm_lr: float | None = option(None, "Learning rate of the language model.", gt=0, symbol="")
    aligner_lr: float | None = option(None, "Learning rate of the aligner.", gt=0, symbol="")
    vit_lr: float | None = option(None, "Learning rate of vision and audio towers.", gt=0, symbol="")

    @hookimpl
    def create_optimizer(self, job: Job, model: Any) -> Any:
        import torch
        from swift_plugin_runtime.optimizing import layerwise

        settings = layerwise.adam_settings(job)
        made: dict[tuple[float, float], list[Any]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                rate = self.rate_of(job, name) or settings["lr"]
                shape = getattr(parameter, "ds_shape", parameter.shape)  # ZeRO 3 leaves an empty row in its place
                decay = training_options(job).weight_decay if len(shape) > 1 else 0.0
                made.setdefault((rate, decay), []).append(parameter)
        groups = [{"params": ps, "lr": rate, "weight_decay": decay} for (rate, decay), ps in made.items()]
        return torch.optim.AdamW(groups, **settings)

    def rate_of(self, job: Job, name: str) -> float | None:
        """The rate of the part in which a parameter lies: the longest prefix of the card's module map decides."""
        modules = job.card.modules
        parts = {
            "llm_lr": modules.language_model,
            "aligner_lr": modules.aligner,
            "vit_lr": modules.vision_tower + modules.audio_tower + modules.generator,
        }
        name = name.removeprefix("base_model.model.")
        fitting = [(len(p), part) for part, prefixes in parts.items() for p in prefixes if name.startswith(f"{p}.")]
        return getattr(self, max(fitting)[1]) if fitting else None
