"""Adafactor: the second moment of a matrix kept as its rows and columns (Shazeer & Stern, arXiv 1804.04235)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.components import Optimizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Adafactor(Optimizer):
    """Adaptive steps with two vectors of state a matrix; transformers' implementation (arXiv 1804.04235)."""

    swift_api = 1
    capabilities = {
        "fsdp": Unsupported("it needs whole matrices, and each process holds a part."),
        "deepspeed": Unsupported("it needs whole matrices, and ZeRO keeps flat parts of them."),
    }

    adafactor_decay_rate: float = option(-0.8, "−c: the second moment decays by 1 − t⁻ᶜ in step t.", lt=0, symbol="c")
    adafactor_clip_threshold: float = option(1.0, "d: largest root mean square of an update.", gt=0, symbol="d")
    adafactor_scale_parameter: bool = option(False, "Multiply the rate by the size of each weight (section 8).")
    adafactor_beta1: float | None = option(None, "β₁ of a first moment; none: none is kept.", symbol="β₁")

    @hookimpl
    def create_optimizer(self, job: Job, model: Any) -> Any:
        import transformers
        from swift_plugin_runtime.optimizing import layerwise
        from swift_plugin_runtime.training.arguments import learning_rate

        groups = [{k: v for k, v in g.items() if k != "matrix"} for g in layerwise.groups(job, model)]
        return transformers.Adafactor(
            groups,
            lr=learning_rate(job),
            decay_rate=self.adafactor_decay_rate,
            clip_threshold=self.adafactor_clip_threshold,
            scale_parameter=self.adafactor_scale_parameter,
            beta1=self.adafactor_beta1,
            relative_step=False,
        )
