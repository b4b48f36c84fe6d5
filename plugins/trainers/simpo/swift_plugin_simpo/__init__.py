"""Simple preference optimisation (Meng et al., arXiv 2405.14734): the reward is the likelihood per token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from swift_plugin_runtime.options import TrainingOptions

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class SimPo(TrainingOptions):
    """Simple preference optimisation (arXiv 2405.14734): pairs by likelihood per token, with a target margin."""

    swift_api = 1
    needs_reference: ClassVar[bool] = False
    capabilities = {
        "packing": Unsupported("a pair is compared as two separate rows."),
    }

    beta: float = option(2.0, "β: scale of the reward β·log π / tokens.", gt=0)
    simpo_gamma: float = option(1.0, "γ: how far the chosen reward should be ahead.", ge=0)
    cpo_alpha: float = option(0.0, "Weight of the chosen answer's loss per token (CPO-SimPO).", ge=0)

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.alignment.preference import build_pair_trainer

        return build_pair_trainer(job, model, processor, rows, eval_rows, method=self)

    def pair_losses(self, chosen: Any, rejected: Any) -> Any:
        """-log σ(reward(chosen) - reward(rejected) - γ), shape [pairs]; eq. 6 of the paper."""
        from torch.nn.functional import logsigmoid

        ahead = self.reward(chosen) - self.reward(rejected)
        return -logsigmoid(ahead - self.simpo_gamma) - self.cpo_alpha * chosen.mean_logp

    def reward(self, answers: Any) -> Any:
        """β·log π per token."""
        return self.beta * answers.mean_logp
