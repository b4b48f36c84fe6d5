"""Group-relative policy optimisation (Shao et al., arXiv 2402.03300): learn from rewards of groups of answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_core import Unsupported, hookimpl, option


@dataclass(kw_only=True, eq=False)
class Grpo:
    """Group-relative policy optimisation (arXiv 2402.03300): answers better than their group's mean are reinforced."""

    swift_api = 1
    needs_answer = False
    capabilities = {
        "packing": Unsupported("answers are drawn during training and cannot be packed beforehand."),
        "padding_free": Unsupported("answers are drawn and scored in padded batches."),
    }

    loss_type: Literal["grpo", "dapo", "dr_grpo", "bnpo", "gspo", "cispo", "sapo"] = option(
        "grpo",
        "grpo, dapo (2503.14476), dr_grpo (2503.20783), bnpo: how token losses are averaged; gspo (2507.18071): "
        "one ratio per answer; cispo (2506.13585) and sapo (2511.20347): other ways to bound the ratio.",
    )
    num_generations: int = option(8, "G: answers drawn to each prompt, one group.", ge=2)
    num_iterations: int = option(1, "μ: optimizer steps made on each rollout.", ge=1)
    max_completion_length: int = option(512, "Longest drawn answer in tokens.", ge=1)
    max_turns: int = option(8, "Most answers in one conversation, where a --reward responds (tools).", ge=1)
    temperature: float = option(1.0, "Softmax temperature of drawing and of the likelihoods.", gt=0)
    top_p: float = option(1.0, "Nucleus: smallest set of tokens with this mass.", gt=0, le=1)
    top_k: int = option(0, "Only the k likeliest tokens; 0: all.", ge=0)
    beta: float = option(0.04, "β: weight of the KL divergence from the reference; 0: no reference.", ge=0)
    epsilon: float = option(0.2, "ε: the ratio is clipped at 1 - ε …", gt=0, lt=1)
    epsilon_high: float | None = option(None, "… and at 1 + ε_high; left out: ε.", gt=0)
    importance_sampling_level: Literal["token", "sequence"] = option(
        "token", "One ratio per token, or one per answer (the geometric mean; gspo has it always)."
    )
    sapo_temperature_pos: float = option(1.0, "τ of SAPO's gate where the advantage is positive.", gt=0)
    sapo_temperature_neg: float = option(1.05, "τ of SAPO's gate elsewhere.", gt=0)
    scale_rewards: Literal["group", "batch", "none"] = option(
        "group", "Advantages are divided by the rewards' standard deviation in the group, in the batch, or not."
    )
    reward_weights: list[float] = option([], "Weight of each reward, in their order; left out: 1 each.")
    mask_truncated: bool = option(
        False,
        "Do not learn from answers that were cut at max_completion_length (DAPO's overlong filter).",
        aliases=("mask_truncated_completions", "overlong_filter"),
    )
    generation_batch_size: int | None = option(None, "Answers drawn together; left out: all of a step.", ge=1)
    completions_per_pass: int | None = option(
        None, "Answers in one forward and backward pass; left out: num_generations.", ge=1
    )

    @hookimpl
    def build_trainer(self, job: Any, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.policy import build_policy_trainer

        from swift_plugin_grpo.trainer import GroupTrainer

        return build_policy_trainer(GroupTrainer, job, model, processor, rows, eval_rows, self)
