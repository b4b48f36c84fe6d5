"""LoKr: the change of a weight is a Kronecker product of two small matrices (LyCORIS, Yeh et al., arXiv 2309.14859)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import LayerTuner

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class LoKr(LayerTuner):
    """The change of a weight is a Kronecker product of two small matrices (arXiv 2309.14859)."""

    lokr_rank: int = option(8, "r: rank of the factors.", ge=1, symbol="r")
    lokr_alpha: int = option(16, "α: the update is scaled by α/r.", ge=1, symbol="α")
    lokr_rank_dropout: float = option(
        0.0, "Share of the update's rows that are 0 in a training step.", ge=0, lt=1, symbol=""
    )
    lokr_module_dropout: float = option(
        0.0, "Share of adapters that are left out of a training step.", ge=0, lt=1, symbol=""
    )
    lokr_decompose_both: bool = option(False, "Both factors of low rank, not the larger one alone.")
    lokr_decompose_factor: int = option(-1, "f: size of the small factor; -1: near the square root.", ge=-1, symbol="f")

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.LoKrConfig(
            r=self.lokr_rank,
            alpha=self.lokr_alpha,
            rank_dropout=self.lokr_rank_dropout,
            module_dropout=self.lokr_module_dropout,
            decompose_both=self.lokr_decompose_both,
            decompose_factor=self.lokr_decompose_factor,
            **self.on_layers(job, model),
        )
