"""GRPO whole: advantages within each group, the bounded ratio, and how token losses are averaged.

Tensors of the functions are [answers, tokens] unless said otherwise; masks are 0 or 1. `o` are the method's options.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from swift_plugin_runtime.alignment.reference import token_logps
from swift_plugin_runtime.rollouts.policy import PolicyTrainer, clipped_losses, group_std

from swift_plugin_grpo import Grpo

Losses = tuple[torch.Tensor, torch.Tensor]
"""(loss per token, 1 where the bound on the ratio took the gradient away)."""


class GroupTrainer(PolicyTrainer):
    """Answers are judged against the other answers to the same prompt."""

    def compute_advantages(self, rows: list[dict[str, Any]], rewards: torch.Tensor) -> None:
        """Each answer's `advantage` over its group. rewards: [answers]."""
        batch_std = self.std_over_ranks(rewards) if self.method.scale_rewards == "batch" else None
        groups = rewards.view(-1, self.method.num_generations)
        advantages = group_advantages(groups, self.method.scale_rewards, batch_std).flatten()
        for row, advantage in zip(rows, advantages.tolist(), strict=True):
            row["advantage"] = advantage

    def policy_loss(self, model: Any, inputs: Any, rollout_tensors: Any, totals: Any) -> torch.Tensor:
        """The bounded objective, and the divergence from the reference where β asks for it; a scalar."""
        logps, mask = token_logps(model, inputs, self.method.temperature)
        old = rollout_tensors.get("old_logps", logps.detach())
        losses, bounded = policy_losses(logps, old, rollout_tensors["advantages"], mask, self.method)
        if self.reference is not None:
            kl = divergence(logps, self.reference_logps(model, inputs))
            losses = losses + self.method.beta * kl
            self.log_metric("kl", kl * mask, mask.sum().item())
        self.log_metric("clip_ratio", bounded * mask, mask.sum().item())
        return (losses * token_weights(mask, self.method, *totals)).sum()


def group_advantages(rewards: torch.Tensor, scale: str, batch_std: torch.Tensor | None = None) -> torch.Tensor:
    """How much better each answer is than its group, shape of `rewards`: [prompts, answers per prompt].

    scale: divide by the standard deviation of the group, of the batch (given as `batch_std`), or by nothing. An answer
    without a reward (NaN) gets 0, and the others are compared without it.
    """
    centred = (rewards - rewards.nanmean(1, keepdim=True)).nan_to_num(0.0)
    if scale == "none":
        return centred
    deviation = group_std(rewards).nan_to_num(0.0) if scale == "group" else batch_std
    assert deviation is not None  # whoever scales by the batch gives it
    return centred / (deviation + 1e-4)


# -- the ratio and its bound ----------------------------------------------------------------------------------
def policy_losses(
    logps: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, mask: torch.Tensor, o: Grpo
) -> Losses:
    """(loss per token, 1 where the bound on the ratio took the gradient away).

    logps, old: log-probabilities now and when the answers were drawn. advantages: [answers, 1].
    """
    ratio = torch.exp(log_weights(logps - old, mask, o))
    return BOUNDS.get(o.loss_type, _clipped)(ratio, advantages, logps, o)


def log_weights(log_ratio: torch.Tensor, mask: torch.Tensor, o: Grpo) -> torch.Tensor:
    """log of the importance weight, [answers, tokens]: per token, or its mean where one ratio serves the answer."""
    if o.importance_sampling_level == "token" and o.loss_type != "gspo":
        return log_ratio
    mean = (log_ratio * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    return mean.expand_as(log_ratio)


def _clipped(ratio: torch.Tensor, advantages: torch.Tensor, logps: torch.Tensor, o: Grpo) -> Losses:
    return clipped_losses(ratio, advantages, o.epsilon, o.epsilon_high or o.epsilon)


def _cispo(ratio: torch.Tensor, advantages: torch.Tensor, logps: torch.Tensor, o: Grpo) -> Losses:
    """The gradient flows through the log-probability alone; the ratio is a bounded weight."""
    high = 1 + (o.epsilon_high or o.epsilon)
    beyond = (ratio > high) & (advantages > 0)
    return -ratio.clamp(max=high).detach() * advantages * logps, beyond.float()


def _sapo(ratio: torch.Tensor, advantages: torch.Tensor, logps: torch.Tensor, o: Grpo) -> Losses:
    """A sigmoid in place of the clip: nothing is ever cut off."""
    tau = torch.where(advantages > 0, o.sapo_temperature_pos, o.sapo_temperature_neg)
    return -torch.sigmoid(tau * (ratio - 1)) * 4 / tau * advantages, torch.zeros_like(ratio)


BOUNDS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Grpo], Losses]] = {
    "cispo": _cispo,
    "sapo": _sapo,
}
"""Loss type → how it bounds the ratio, (ratio, advantages, logps, options); the others clip it as PPO does."""


def divergence(logps: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Schulman's unbiased, non-negative estimate of KL(π ‖ π_ref) per token, [answers, tokens] as both arguments."""
    ahead = reference - logps
    return torch.exp(ahead) - ahead - 1


# -- the mean over a step -------------------------------------------------------------------------------------
def token_weights(mask: torch.Tensor, o: Grpo, answers: Any, tokens: Any) -> torch.Tensor:
    """How much each token counts, [answers, tokens], so that the sum over an optimizer step is the method's mean.

    answers, tokens: totals of the whole step on all ranks. grpo (and gspo, sapo): every answer alike; dapo and
    cispo: every token alike; bnpo: every token of a pass alike; dr_grpo: per answer, over the constant
    max_completion_length, which removes the bias towards short right and long wrong answers.
    """
    if o.loss_type in ("dapo", "cispo"):
        return mask / tokens
    if o.loss_type == "dr_grpo":
        return mask / (answers * o.max_completion_length)
    if o.loss_type == "bnpo":
        return mask / mask.sum().clamp(min=1) * len(mask) / answers
    return mask / mask.sum(1, keepdim=True).clamp(min=1) / answers
