"""Prefix tuning: trained keys and values before every row, in every layer (Li & Liang, arXiv 2101.00190)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import PeftTuner, VirtualTokens

from swift_core import Unsupported, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Prefix(VirtualTokens, PeftTuner):
    """Trains keys and values of virtual tokens in every layer (prefix tuning, arXiv 2101.00190)."""

    capabilities = {
        **VirtualTokens.capabilities,
        "gradient_checkpointing": Unsupported("recomputation drops the keys and values that it trains."),
    }

    prefix_virtual_tokens: int = option(20, "Virtual tokens before a row: the length of P_idx.", ge=1, symbol="P_idx")
    prefix_projection: bool = option(False, "Train them through an MLP, which the paper found steadier.")
    prefix_hidden_size: int = option(128, "Width of that MLP.", ge=1, symbol="")

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.PrefixTuningConfig(
            num_virtual_tokens=self.prefix_virtual_tokens,
            prefix_projection=self.prefix_projection,
            encoder_hidden_size=self.prefix_hidden_size if self.prefix_projection else None,
            task_type="CAUSAL_LM",
        )
