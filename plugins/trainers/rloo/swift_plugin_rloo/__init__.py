"""REINFORCE with a leave-one-out baseline (Ahmadian et al., arXiv 2402.14740): a whole answer is one action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.rollouts.options import RolloutOptions

from swift_core import hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Rloo(RolloutOptions):
    """REINFORCE leave-one-out (arXiv 2402.14740): an answer is held against the mean of its siblings' rewards."""

    num_generations: int = option(4, "Answers drawn to each prompt; each is held against the others.", ge=2)
    normalize_advantages: bool = option(False, "Bring the advantages of a step to mean 0 and deviation 1.")

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.rollouts.policy import build_policy_trainer

        from swift_plugin_rloo.trainer import LeaveOneOutTrainer

        return build_policy_trainer(LeaveOneOutTrainer, job, model, processor, rows, eval_rows, self)
