"""P-tuning: virtual tokens before every row, made by a small trained network (Liu et al., arXiv 2103.10385)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_plugin_runtime.tuning.peft_tuner import PeftTuner, VirtualTokens

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class PTuning(VirtualTokens, PeftTuner):
    """Trains an encoder that makes the embeddings of virtual tokens (p-tuning, arXiv 2103.10385)."""

    ptuning_virtual_tokens: int = option(20, "Virtual tokens before a row.", ge=1, symbol="")
    ptuning_encoder: Literal["MLP", "LSTM"] = option("MLP", "The network that makes them.")
    ptuning_hidden_size: int = option(128, "Its width.", ge=1, symbol="")
    ptuning_layers: int = option(2, "Its depth (LSTM).", ge=1, symbol="")

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.PromptEncoderConfig(
            num_virtual_tokens=self.ptuning_virtual_tokens,
            encoder_reparameterization_type=self.ptuning_encoder,
            encoder_hidden_size=self.ptuning_hidden_size,
            encoder_num_layers=self.ptuning_layers,
            task_type="CAUSAL_LM",
        )
