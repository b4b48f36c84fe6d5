"""rsLoRA: LoRA scaled by α/√r, so that high ranks learn as fast as low ones (Kalajdzievski, arXiv 2312.03732)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import LowRankTuner


@dataclass(kw_only=True, eq=False)
class RsLora(LowRankTuner):
    """LoRA whose update is scaled by α/√r instead of α/r (rsLoRA, arXiv 2312.03732)."""

    def variant(self) -> dict[str, Any]:
        return {"use_rslora": True}
