"""BOFT: weights rotated by a product of sparse orthogonal butterfly factors (Liu et al., arXiv 2311.06243)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import LayerTuner

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Boft(LayerTuner):
    """Rotates the weights by m sparse orthogonal factors, which keeps the angles between neurons (arXiv 2311.06243)."""

    boft_block_size: int = option(4, "b: size of the orthogonal blocks; it must divide every width.", ge=2, symbol="b")
    boft_n_butterfly_factor: int = option(1, "m: butterfly factors; more of them mix wider.", ge=1, symbol="m")
    boft_dropout: float = option(
        0.0, "Share of blocks that are the identity in a training step.", ge=0, lt=1, symbol=""
    )

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.BOFTConfig(
            boft_block_size=self.boft_block_size,
            boft_n_butterfly_factor=self.boft_n_butterfly_factor,
            boft_dropout=self.boft_dropout,
            **self.on_layers(job, model),
        )
