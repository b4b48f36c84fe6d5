"""LoHa: the change of a weight is (B₁·A₁) ⊙ (B₂·A₂), elementwise (FedPara, Hyeon-Woo et al., arXiv 2108.06098)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import LayerTuner

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class LoHa(LayerTuner):
    """The change of a weight is (B₁·A₁) ⊙ (B₂·A₂), an elementwise product (arXiv 2108.06098)."""

    loha_rank: int = option(8, "r: rank of the factors.", ge=1, symbol="r")
    loha_alpha: int = option(16, "α: the update is scaled by α/r.", ge=1, symbol="α")
    loha_rank_dropout: float = option(
        0.0, "Share of the update's rows that are 0 in a training step.", ge=0, lt=1, symbol=""
    )
    loha_module_dropout: float = option(
        0.0, "Share of adapters that are left out of a training step.", ge=0, lt=1, symbol=""
    )

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.LoHaConfig(
            r=self.loha_rank,
            alpha=self.loha_alpha,
            rank_dropout=self.loha_rank_dropout,
            module_dropout=self.loha_module_dropout,
            **self.on_layers(job, model),
        )
