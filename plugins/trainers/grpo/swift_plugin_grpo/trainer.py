"""The trainer: a rollout of groups, advantages within each group, then the clipped loss."""

from __future__ import annotations

from typing import Any

import torch
from swift_plugin_runtime.alignment.reference import token_logps
from swift_plugin_runtime.rollouts.policy import PolicyTrainer

from swift_plugin_grpo.losses import divergence, group_advantages, policy_losses, token_weights


class GroupTrainer(PolicyTrainer):
    """Answers are judged against the other answers to the same prompt."""

    def compute_advantages(self, rows: list[dict[str, Any]], rewards: torch.Tensor) -> None:
        """Each answer's `advantage` over its group. rewards: [answers]."""
        batch_std = self.std_over_ranks(rewards) if self.method.scale_rewards == "batch" else None
        groups = rewards.view(-1, self.method.num_generations)
        found = group_advantages(groups, self.method.scale_rewards, batch_std).flatten()
        for row, advantage in zip(rows, found.tolist(), strict=True):
            row["advantage"] = advantage

    def policy_loss(self, model: Any, inputs: Any, rollout_tensors: Any, totals: Any) -> torch.Tensor:
        """The clipped objective, and the divergence from the reference where β asks for it; a scalar."""
        logps, mask = token_logps(model, inputs, self.method.temperature)
        old = rollout_tensors.get("old_logps", logps.detach())
        losses, clipped = policy_losses(logps, old, rollout_tensors["advantages"], mask, self.method)
        if self.reference is not None:
            kl = divergence(logps, self.reference_logps(model, inputs))
            losses = losses + self.method.beta * kl
            self.log_metric("kl", kl * mask, mask.sum().item())
        self.log_metric("clip_ratio", clipped * mask, mask.sum().item())
        return (losses * token_weights(mask, self.method, *totals)).sum()
