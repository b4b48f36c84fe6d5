"""Contrastive preference optimisation (Xu et al., arXiv 2401.08417): DPO without a reference, plus imitation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from swift_plugin_runtime.options import TrainingOptions

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Cpo(TrainingOptions):
    """Contrastive preference optimisation (arXiv 2401.08417): pairs without a reference, plus imitation."""

    swift_api = 1
    ignores = ("label",)
    needs_reference: ClassVar[bool] = False
    capabilities = {
        "packing": Unsupported("a pair is compared as two separate rows."),
    }

    beta: float = option(0.1, "β: steepness of the loss over the difference of log-likelihoods.", gt=0)
    cpo_alpha: float = option(1.0, "Weight of the chosen answer's loss per token.", ge=0)
    label_smoothing: float = option(0.0, "ε: share of pairs whose labels are taken to be flipped.", ge=0, lt=0.5)

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.alignment.preference import build_pair_trainer

        return build_pair_trainer(job, model, processor, rows, eval_rows, method=self)

    def pair_losses(self, chosen: Any, rejected: Any) -> Any:
        """-log σ(β·(log π(chosen) - log π(rejected))) - α·log π(chosen) per token, shape [pairs]."""
        from torch.nn.functional import logsigmoid

        x = self.beta * (chosen.logp - rejected.logp)
        preference = -(1 - self.label_smoothing) * logsigmoid(x) - self.label_smoothing * logsigmoid(-x)
        return preference - self.cpo_alpha * chosen.mean_logp

    def reward(self, answers: Any) -> Any:
        """β·log π, the reward that the policy implies."""
        return self.beta * answers.logp
