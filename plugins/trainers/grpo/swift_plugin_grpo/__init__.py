"""Group-relative policy optimisation (Shao et al., arXiv 2402.03300): learn from rewards of groups of answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_plugin_runtime.rollouts.options import RolloutOptions

from swift_core import hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Grpo(RolloutOptions):
    """Group-relative policy optimisation (arXiv 2402.03300): answers better than their group's mean are reinforced."""

    loss_type: Literal["grpo", "dapo", "dr_grpo", "bnpo", "gspo", "cispo", "sapo"] = option(
        "grpo",
        "grpo, dapo (2503.14476), dr_grpo (2503.20783), bnpo: how token losses are averaged; gspo (2507.18071): "
        "one ratio per answer; cispo (2506.13585) and sapo (2511.20347): other ways to bound the ratio.",
    )
    num_generations: int = option(8, "G: answers drawn to each prompt, one group.", ge=2)
    beta: float = option(0.04, "β: weight of the KL divergence from the reference; 0: no reference.", ge=0)
    importance_sampling_level: Literal["token", "sequence"] = option(
        "token", "One ratio per token, or one per answer (the geometric mean; gspo has it always)."
    )
    sapo_temperature_pos: float = option(1.0, "τ of SAPO's gate where the advantage is positive.", gt=0)
    sapo_temperature_neg: float = option(1.05, "τ of SAPO's gate elsewhere.", gt=0)
    scale_rewards: Literal["group", "batch", "none"] = option(
        "group", "Advantages are divided by the rewards' standard deviation in the group, in the batch, or not."
    )
    micro_batch_size: int | None = option(
        None,
        "Answers in one forward and backward pass; left out: num_generations.",
        ge=1,
        aliases=("completions_per_pass",),
    )

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.rollouts.policy import build_policy_trainer

        from swift_plugin_grpo.trainer import GroupTrainer

        return build_policy_trainer(GroupTrainer, job, model, processor, rows, eval_rows, self)
