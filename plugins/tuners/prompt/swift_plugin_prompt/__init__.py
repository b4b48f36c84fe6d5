"""Prompt tuning: trained embeddings before every row (Lester et al., arXiv 2104.08691)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import PeftTuner, VirtualTokens

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Prompt(VirtualTokens, PeftTuner):
    """Trains the embeddings of a few virtual tokens that stand before every row (arXiv 2104.08691)."""

    prompt_virtual_tokens: int = option(
        20, "p: virtual tokens before a row.", ge=1, aliases=("num_virtual_tokens",), symbol="p"
    )

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.PromptTuningConfig(
            num_virtual_tokens=self.prompt_virtual_tokens,
            task_type="CAUSAL_LM",
        )
