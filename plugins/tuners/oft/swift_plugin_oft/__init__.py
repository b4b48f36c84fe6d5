"""OFT: weights rotated by a block-diagonal orthogonal matrix (Qiu et al., arXiv 2306.07280; input form 2506.19847)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import LayerTuner

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Oft(LayerTuner):
    """Rotates the input of each weight by an orthogonal matrix of blocks (OFT, arXiv 2306.07280)."""

    oft_block_size: int = option(32, "b: size of the orthogonal blocks; it must divide every width.", ge=2, symbol="b")
    oft_coft: bool = option(False, "Keep the rotation within ε of the identity (COFT).")
    oft_eps: float = option(6e-5, "ε of COFT.", gt=0, symbol="ε")
    oft_block_share: bool = option(False, "One block for all, instead of one each.")
    oft_dropout: float = option(0.0, "Share of blocks that are the identity in a training step.", ge=0, lt=1, symbol="")

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.OFTConfig(
            oft_block_size=self.oft_block_size,
            coft=self.oft_coft,
            eps=self.oft_eps,
            block_share=self.oft_block_share,
            module_dropout=self.oft_dropout,
            **self.on_layers(job, model),
        )
