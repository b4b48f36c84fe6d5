"""The trainer: rewards at the last token, the divergence at each or in the loss, summed to the end and normalised."""

from __future__ import annotations

from typing import Any

import torch
from swift_plugin_runtime.alignment.reference import token_logps
from swift_plugin_runtime.rollouts.policy import PolicyTrainer, clipped_losses, token_rewards

from swift_core.templates.encode import IGNORED


def to_the_end(rewards: torch.Tensor) -> torch.Tensor:
    """The sum of the rewards from each token on (undiscounted returns), shape of `rewards`: [answers, tokens]."""
    return rewards.flip(1).cumsum(1).flip(1)


def squared_divergence(logps: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Schulman's k2 per token, ½·(log π/π_ref)²: its gradient is that of KL(π ‖ π_ref) on answers of π.

    Shape of both arguments, [answers, tokens].
    """
    return 0.5 * (logps - reference) ** 2


class NormalisedTrainer(PolicyTrainer):
    """Every token has an advantage of its own, relative to all tokens of the step."""

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
        """Each token's `advantages`: its return, relative to those of all tokens of the step. rewards: [answers]."""
        if self.method.baseline:
            groups = rewards.view(-1, self.method.num_generations)
            rewards = (groups - groups.nanmean(1, keepdim=True)).flatten()
        given = rewards.nan_to_num(0.0)  # an answer without a reward has no trained token that could count
        returns = [self.returns(row, reward) for row, reward in zip(rows, given, strict=True)]
        masks = [torch.tensor(row["labels"], device=rewards.device) != IGNORED for row in rows]
        mean, deviation = self.moments_over_ranks(torch.cat([f[m] for f, m in zip(returns, masks, strict=True)]))
        for row, values, mask in zip(rows, returns, masks, strict=True):
            row["advantages"] = ((values - mean) / (deviation + 1e-8) * mask).tolist()

    def returns(self, row: dict[str, Any], reward: torch.Tensor) -> torch.Tensor:
        """The return from each token of one answer on, [tokens]."""
        mask = torch.tensor([row["labels"]], device=reward.device) != IGNORED
        old = torch.tensor([row["old_logps"]], device=reward.device)
        reference = None
        if self.reference is not None:
            reference = torch.tensor([row["reference_logps"]], device=reward.device)
            self.log_metric("kl", ((old - reference) * mask).sum()[None])
        if not self.method.penalised:
            reference = None
        return to_the_end(token_rewards(reward[None], old, reference, mask.float(), self.method.beta))[0]

    def policy_loss(self, model: Any, inputs: Any, rollout_tensors: Any, totals: Any) -> torch.Tensor:
        """The clipped objective of each token, averaged over the tokens of the step; a scalar."""
        logps, mask = token_logps(model, inputs, self.method.temperature)
        ratio = torch.exp((logps - rollout_tensors["old_logps"]) * mask)
        high = self.method.epsilon_high or self.method.epsilon
        losses, clipped = clipped_losses(ratio, rollout_tensors["advantages"], self.method.epsilon, high)
        self.log_metric("clip_ratio", clipped * mask, mask.sum().item())
        if self.reference is not None and not self.method.penalised:
            losses = losses + self.method.beta * squared_divergence(logps, rollout_tensors["reference_logps"])
        return (losses * mask).sum() / totals[1]
