"""IA³: one trained factor per channel of keys, values and inner activations (Liu et al., arXiv 2205.05638)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import LayerTuner

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Ia3(LayerTuner):
    """Trained factors l on keys, values and the MLP's inner activations: few thousand parameters (arXiv 2205.05638)."""

    target_modules: list[str] = option(
        ["k_proj", "v_proj", "down_proj"], "Layers whose channels are scaled: names, one regex, or all-linear."
    )
    ia3_feedforward_modules: list[str] = option(
        ["down_proj"], "Those of them whose inputs are scaled (l_ff), not their outputs (l_k, l_v)."
    )

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.IA3Config(
            feedforward_modules=[m for m in self.ia3_feedforward_modules if fits(m, self.target_modules)],
            **self.on_layers(job, model),
        )


def fits(module: str, targets: list[str]) -> bool:
    """PEFT wants every feed-forward module to be a target as well."""
    return targets == ["all-linear"] or module in targets or len(targets) == 1
