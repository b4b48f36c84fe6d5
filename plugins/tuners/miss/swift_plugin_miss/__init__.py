"""MiSS: one trained matrix D, repeated along each weight's input (Kang & Yin, arXiv 2409.15371; once Bone)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_plugin_runtime.tuning.peft_tuner import LayerTuner

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Miss(LayerTuner):
    """One trained matrix D per weight, expanded along its input: half of LoRA's parameters (MiSS, arXiv 2409.15371)."""

    miss_rank: int = option(64, "r: rows of D.", ge=1, symbol="r")
    miss_dropout: float = option(0.0, "Dropout on the adapter's input.", ge=0, lt=1, symbol="")
    miss_init: Literal["true", "bat", "mini"] = option(
        "true", "Form: true (fast), bat (Block Affine Transformation: the change depends on W), mini (smaller D)."
    )
    miss_mini_r: int = option(1, "Of the form mini: rank along the output, a divisor of every width.", ge=1, symbol="")

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.MissConfig(
            r=self.miss_rank,
            init_weights=True if self.miss_init == "true" else self.miss_init,
            mini_r=self.miss_mini_r,
            miss_dropout=self.miss_dropout,
            **self.on_layers(job, model),
        )
