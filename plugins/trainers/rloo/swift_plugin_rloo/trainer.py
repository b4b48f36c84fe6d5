"""The trainer: rewards less the divergence, a leave-one-out baseline, one clipped ratio per answer."""

from __future__ import annotations

from typing import Any

import torch
from swift_plugin_runtime.alignment.reference import token_logps
from swift_plugin_runtime.rollouts.policy import PolicyTrainer, clipped_losses


def leave_one_out(rewards: torch.Tensor) -> torch.Tensor:
    """Each reward less the mean of the others to the same prompt, shape of `rewards`: [prompts, answers].

    An answer without a reward (NaN) gets 0 and is none of the others; nor has one without others an advantage.
    """
    others = (~rewards.isnan()).sum(1, keepdim=True) - 1
    ahead = rewards - (rewards.nansum(1, keepdim=True) - rewards) / others.clamp(min=1)
    return torch.where(rewards.isnan() | (others < 1), 0.0, ahead)


class LeaveOneOutTrainer(PolicyTrainer):
    """Whole answers are actions: one log-probability, one advantage, one ratio each."""

    always_cache_logps = True

    def behaviour_policy_outputs(self, inputs: Any) -> dict[str, torch.Tensor]:
        """Also what the reference finds of the answers, [answers, tokens - 1]."""
        outputs = super().behaviour_policy_outputs(inputs)
        return (
            outputs
            if self.reference is None
            else outputs | {"reference_logps": self.reference_logps(self.model, inputs)}
        )

    def compute_advantages(self, rows: list[dict[str, Any]], rewards: torch.Tensor) -> None:
        """Each answer's `advantage`; the divergence from the reference is part of its reward (eq. 1).

        rewards: [answers].
        """
        if self.reference is not None:
            kl = torch.tensor([log_ratio(row) for row in rows], device=rewards.device)
            self.log_metric("kl", kl)
            rewards = rewards - self.method.beta * kl
        advantages = leave_one_out(rewards.view(-1, self.method.num_generations)).flatten()
        if self.method.normalize_advantages:
            mean, deviation = self.moments_over_ranks(advantages[~rewards.isnan()])
            advantages = ((advantages - mean) / (deviation + 1e-4)).masked_fill(rewards.isnan(), 0.0)
        for row, advantage in zip(rows, advantages.tolist(), strict=True):
            row["advantage"] = advantage

    def policy_loss(self, model: Any, inputs: Any, rollout_tensors: Any, totals: Any) -> torch.Tensor:
        """The clipped objective of whole answers, averaged over the answers of the step; a scalar."""
        logps, mask = token_logps(model, inputs, self.method.temperature)
        ratio = torch.exp(((logps - rollout_tensors["old_logps"]) * mask).sum(1, keepdim=True))
        high = self.method.epsilon_high or self.method.epsilon
        losses, clipped = clipped_losses(ratio, rollout_tensors["advantages"], self.method.epsilon, high)
        self.log_metric("clip_ratio", clipped)
        return (losses[:, 0] * (mask.sum(1) > 0)).sum() / totals[0]


def log_ratio(row: dict[str, Any]) -> float:
    """log π/π_ref of a whole answer, in nats."""
    pairs = zip(row["old_logps"], row["reference_logps"], row["labels"], strict=True)
    return sum(old - reference for old, reference, label in pairs if label != -100)
