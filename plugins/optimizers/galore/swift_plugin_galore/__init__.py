"""GaLore: Adam's moments live in a low-rank projection of the gradient (Zhao et al., arXiv 2403.03507)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_plugin_runtime.options import training_options

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Optimizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class GaLore(Optimizer):
    """AdamW on gradients projected to rank r: full weights train with an adapter's optimizer memory."""

    swift_api = 1
    capabilities = {
        "lora": Unsupported("it projects the gradients of whole weights; train them with --tuner full."),
        "fsdp": Unsupported("the projection needs the whole gradient of a matrix, and each process holds a part."),
    }

    galore_rank: int = option(128, "Rank r of the projected gradient.", ge=1, symbol="r")
    galore_update_proj_gap: int = option(50, "T: steps between two singular value decompositions.", ge=1, symbol="T")
    galore_scale: float = option(1.0, "α: factor of the projected update.", gt=0, symbol="α")
    galore_proj_type: Literal["std", "reverse_std", "left", "right", "full"] = option(
        "std", "Which side of a matrix is projected; std: the shorter one."
    )
    galore_target_modules: list[str] = option(
        ["all-linear"], "Layers whose gradients are projected: parts of names, or all-linear (without the head)."
    )

    galore_layerwise: bool = option(False, "Update each weight in the backward pass and drop its gradient.")

    @hookimpl
    def create_optimizer(self, job: Job, model: Any) -> Any:
        import torch
        from galore_torch import GaLoreAdamW
        from galore_torch.galore_projector import GaLoreProjector
        from swift_plugin_runtime.training.arguments import learning_rate

        # a checkpoint's optimizer state holds these, and it is read with weights_only=True
        torch.serialization.add_safe_globals([GaLoreProjector])
        if self.galore_layerwise:
            return self.layerwise(job, model)
        o = training_options(job)
        return GaLoreAdamW(
            self.groups(model, o.weight_decay),
            lr=learning_rate(job),
            betas=(o.adam_beta1, o.adam_beta2),
            eps=1e-8,
            no_deprecation_warning=True,
        )

    def layerwise(self, job: Job, model: Any) -> Any:
        """The same updates, each taken as soon as its gradient is there."""
        from swift_plugin_runtime.optimizing import layerwise

        from swift_plugin_galore.layerwise import LayerwiseGaLore

        layerwise.check_layerwise(job, "GaLore, layer by layer,")
        groups = [{"matrix": "rank" in g, **g} for g in self.groups(model, training_options(job).weight_decay)]
        return LayerwiseGaLore(groups, layerwise=True, **layerwise.adam_settings(job))

    def groups(self, model: Any, decay: float) -> list[dict[str, Any]]:
        """Projected matrices, other matrices, and vectors, which do not decay."""
        projected = self.targets(model)
        names = {id(p) for p in projected}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in names]
        projection = {
            "rank": self.galore_rank,
            "update_proj_gap": self.galore_update_proj_gap,
            "scale": self.galore_scale,
            "proj_type": self.galore_proj_type,
        }
        made: list[dict[str, Any]] = [
            {"params": projected, "weight_decay": decay, **projection},
            {"params": [p for p in rest if p.dim() > 1], "weight_decay": decay},
            {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return [group for group in made if group["params"]]

    def targets(self, model: Any) -> list[Any]:
        """Weights of the linear layers to project. Raises SwiftError where the names fit none that trains."""
        import torch

        head = model.get_output_embeddings()
        every = self.galore_target_modules == ["all-linear"]
        matrices = [
            module.weight
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear)
            and module.weight.requires_grad
            and (module is not head if every else any(part in name for part in self.galore_target_modules))
        ]
        if not matrices:
            raise SwiftError(f"--galore_target_modules {self.galore_target_modules}: no linear layer that trains fits.")
        return matrices
