"""OLoRA: LoRA that starts from the QR decomposition of each weight (Büyükakyüz, arXiv 2406.01775)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import RewritingTuner


@dataclass(kw_only=True, eq=False)
class OLora(RewritingTuner):
    """LoRA whose B starts as the first r columns of Q and A as rows of R, W = Q·R (OLoRA, arXiv 2406.01775)."""

    def variant(self) -> dict[str, Any]:
        return {"init_lora_weights": "olora"}
