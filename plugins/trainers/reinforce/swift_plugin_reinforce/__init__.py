"""REINFORCE++ (Hu et al., arXiv 2501.03262): PPO's clipped loss and token rewards, without its critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.rollouts.options import RolloutOptions

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class ReinforcePlusPlus(RolloutOptions):
    """REINFORCE++ (arXiv 2501.03262): token advantages normalised over the whole batch, no critic."""

    baseline: bool = option(False, "Take the mean reward of a prompt's answers off first (REINFORCE++-baseline).")
    beta: float = option(0.05, "β: weight of the KL divergence from the reference; 0: no reference.", ge=0)
    kl_in_reward: bool | None = option(
        None,
        "The divergence is part of each token's reward (k1); false: a loss of its own (k2). Left out, as in the paper: "
        "true, and false under --baseline.",
    )

    @property
    def penalised(self) -> bool:
        """Whether the divergence is part of the rewards."""
        return not self.baseline if self.kl_in_reward is None else self.kl_in_reward

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.rollouts.policy import build_policy_trainer

        from swift_plugin_reinforce.trainer import NormalisedTrainer

        if self.baseline and self.num_generations < 2:
            raise SwiftError("--baseline takes off the mean of a prompt's answers: say --num_generations 2 or more.")
        return build_policy_trainer(NormalisedTrainer, job, model, processor, rows, eval_rows, self)
