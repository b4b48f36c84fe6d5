"""PiSSA: LoRA that starts as the principal part of each weight; the rest is frozen (Meng et al., arXiv 2404.02948)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import RewritingTuner

from swift_core import option


@dataclass(kw_only=True, eq=False)
class Pissa(RewritingTuner):
    """LoRA whose A and B start as the r largest singular values and vectors of W (PiSSA, arXiv 2404.02948)."""

    pissa_niter: int = option(
        0,
        "niter: iterations of the fast, randomised decomposition; 0: the exact one (section 5.3: 4 to 16 suffice).",
        ge=0,
        symbol="niter",
    )

    def variant(self) -> dict[str, Any]:
        return {"init_lora_weights": f"pissa_niter_{self.pissa_niter}" if self.pissa_niter else "pissa"}
