"""LN tuning: only the weights of normalisation layers train (Zhao et al., arXiv 2312.11420)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning import adapters
from swift_plugin_runtime.tuning.peft_tuner import PeftTuner

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class LnTuning(PeftTuner):
    """Trains the normalisation layers alone, about 0.03 % of a model (LN tuning, arXiv 2312.11420)."""

    ln_modules: list[str] = option([], "Names or one regex of the layers; left out: every module called a norm.")

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.LNTuningConfig(target_modules=self.ln_modules or norms(job, model), task_type="CAUSAL_LM")


def norms(job: Job, model: Any) -> list[str]:
    """The model's normalisations that no earlier tuner trains, in the parts that are not frozen."""
    frozen = adapters.frozen_by(job)
    return [name for name in adapters.untrained_norms(model) if not (frozen and frozen(name))]
