"""DoRA: a weight's magnitude and direction train apart, the direction by LoRA (Liu et al., arXiv 2402.09353)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import LowRankTuner


@dataclass(kw_only=True, eq=False)
class Dora(LowRankTuner):
    """LoRA on the direction of each weight, and a trained magnitude m per output (DoRA, arXiv 2402.09353)."""

    def variant(self) -> dict[str, Any]:
        return {"use_dora": True}
