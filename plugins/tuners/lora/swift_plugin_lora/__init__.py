"""LoRA: W + (α/r)·B·A on frozen weights (Hu et al., arXiv 2106.09685), with two close relatives by a flag each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_plugin_runtime.tuning.peft_tuner import LowRankTuner

from swift_core import option


@dataclass(kw_only=True, eq=False)
class Lora(LowRankTuner):
    """Low-rank adapters (arXiv 2106.09685); rsLoRA and DoRA by one flag each."""

    use_rslora: bool = option(False, "Scale by α/√r (rsLoRA, arXiv 2312.03732).")
    use_dora: bool = option(False, "Train magnitude and direction apart (DoRA, arXiv 2402.09353).")
    init_weights: Literal["true", "false", "gaussian", "orthogonal"] = option(
        "true",
        "How A and B start; others: --tuner pissa, olora, eva, loraga.",
        aliases=("init_lora_weights",),
    )

    @property
    def takes_parts(self) -> bool:  # type: ignore[override]  # DoRA measures the weights
        """Whether it is attached without a look at the values of weights."""
        return not self.use_dora

    def variant(self) -> dict[str, Any]:
        start = {"true": True, "false": False}.get(self.init_weights, self.init_weights)
        return {"use_rslora": self.use_rslora, "use_dora": self.use_dora, "init_lora_weights": start}
