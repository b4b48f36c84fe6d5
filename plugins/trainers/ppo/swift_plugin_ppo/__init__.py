"""Proximal policy optimisation (Schulman et al., arXiv 1707.06347) with a value head on the policy itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.rollouts.options import RolloutOptions

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Ppo(RolloutOptions):
    """Proximal policy optimisation (arXiv 1707.06347): a value head judges each token, the ratio is clipped."""

    capabilities = {
        **RolloutOptions.capabilities,
        "quantizer": Unsupported("the value head wraps the model, which quantized weights do not take yet."),
        "deepspeed": Unsupported("the value head wraps the model, which DeepSpeed does not save yet."),
        "sequence": Unsupported("the value head reads whole rows."),
    }

    gamma: float = option(1.0, "γ: discount per token.", gt=0, le=1)
    gae_lambda: float = option(0.95, "λ of generalised advantage estimation (arXiv 1506.02438).", ge=0, le=1)
    value_coefficient: float = option(0.1, "Weight of the value head's loss.", ge=0, aliases=("vf_coef",))
    value_clip: float = option(0.2, "The value may move this far in one rollout.", gt=0, aliases=("cliprange_value",))
    whiten_advantages: bool = option(True, "Bring the advantages of a step to mean 0 and deviation 1.")

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_ppo.trainer import build_actor_critic_trainer

        return build_actor_critic_trainer(job, model, processor, rows, eval_rows, self)
