"""Odds-ratio preference optimisation (Hong et al., arXiv 2403.07691): imitation and preference in one loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from swift_plugin_runtime.options import TrainingOptions

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Orpo(TrainingOptions):
    """Odds-ratio preference optimisation (arXiv 2403.07691): supervised loss plus the odds of chosen to rejected."""

    swift_api = 1
    ignores = ("label",)
    needs_reference: ClassVar[bool] = False
    capabilities = {
        "packing": Unsupported("a pair is compared as two separate rows."),
    }

    beta: float = option(0.1, "Weight of the odds-ratio term (λ in the paper).", ge=0, aliases=("orpo_lambda",))

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.alignment.preference import build_pair_trainer

        return build_pair_trainer(job, model, processor, rows, eval_rows, method=self)

    def pair_losses(self, chosen: Any, rejected: Any) -> Any:
        """-log p(chosen) per token - λ·log σ(log odds(chosen) - log odds(rejected)), shape [pairs]; eqs. 6, 7."""
        from torch.nn.functional import logsigmoid

        ahead = log_odds(chosen.mean_logp) - log_odds(rejected.mean_logp)
        return -chosen.mean_logp - self.beta * logsigmoid(ahead)

    def reward(self, answers: Any) -> Any:
        """λ·log p per token."""
        return self.beta * answers.mean_logp


def log_odds(logp: Any) -> Any:
    """log(p / (1 - p)) of probabilities given by their logarithm; finite also where p rounds to 1."""
    import torch

    return logp - torch.log(-torch.expm1(logp.clamp(max=-1e-6)))
