"""GRPO's arithmetic as pure functions. Tensors are [answers, tokens] unless said otherwise; masks are 0 or 1."""

from __future__ import annotations

from typing import Any

import torch


def group_advantages(rewards: torch.Tensor, scale: str, batch_std: torch.Tensor | None = None) -> torch.Tensor:
    """How much better each answer is than its group, shape of `rewards`: [prompts, answers per prompt].

    scale: divide by the standard deviation of the group, of the batch (given as `batch_std`), or by nothing.
    """
    centred = rewards - rewards.mean(1, keepdim=True)
    if scale == "none":
        return centred
    deviation = rewards.std(1, keepdim=True) if scale == "group" else batch_std
    return centred / (deviation + 1e-4)


def log_weights(log_ratio: torch.Tensor, mask: torch.Tensor, o: Any) -> torch.Tensor:
    """log of the importance weight, [answers, tokens]: per token, or its mean where one ratio serves the answer."""
    if o.importance_sampling_level == "token" and o.loss_type != "gspo":
        return log_ratio
    mean = (log_ratio * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    return mean.expand_as(log_ratio)


def policy_losses(
    logps: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, mask: torch.Tensor, o: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss per token, 1 where the bound on the ratio took the gradient away).

    logps, old: log-probabilities now and when the answers were drawn. advantages: [answers, 1].
    """
    ratio = torch.exp(log_weights(logps - old, mask, o))
    low, high = 1 - o.epsilon, 1 + (o.epsilon_high or o.epsilon)
    if o.loss_type == "cispo":
        beyond = (ratio > high) & (advantages > 0)
        return -ratio.clamp(max=high).detach() * advantages * logps, beyond.float()
    if o.loss_type == "sapo":
        tau = torch.where(advantages > 0, o.sapo_temperature_pos, o.sapo_temperature_neg)
        return -torch.sigmoid(tau * (ratio - 1)) * 4 / tau * advantages, torch.zeros_like(ratio)
    clipped = ((ratio < low) & (advantages < 0)) | ((ratio > high) & (advantages > 0))
    return -torch.min(ratio * advantages, ratio.clamp(low, high) * advantages), clipped.float()


def divergence(logps: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Schulman's unbiased, non-negative estimate of KL(π ‖ π_ref) per token, [answers, tokens] as both arguments."""
    ahead = reference - logps
    return torch.exp(ahead) - ahead - 1


def token_weights(mask: torch.Tensor, o: Any, answers: Any, tokens: Any) -> torch.Tensor:
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
