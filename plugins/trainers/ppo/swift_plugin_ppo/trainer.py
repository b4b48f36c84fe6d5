"""The trainer: values beside the policy, generalised advantages, and both losses clipped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from swift_plugin_runtime.alignment.reference import labelled_logps
from swift_plugin_runtime.batching.shared_rows import called
from swift_plugin_runtime.rollouts.policy import PolicyTrainer, build_policy_trainer, clipped_losses, token_rewards
from swift_plugin_runtime.tuning.adapters import hold_frozen
from transformers.utils import ModelOutput

from swift_core.contract.job import Job
from swift_core.jobs.resume import RESUMED
from swift_core.templates.encode import IGNORED

HEAD_FILE = "value_head.safetensors"


def generalised_advantages(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gamma: float, lam: float
) -> torch.Tensor:
    """Â_t = δ_t + γλ·Â_{t+1} with δ_t = r_t + γ·V_{t+1} - V_t, over the tokens where `mask` is 1.

    All tensors are [answers, tokens]. The value behind the last token is 0; tokens that are not the policy's own
    are passed over.
    """
    ahead, value, advantages = torch.zeros_like(rewards[:, 0]), torch.zeros_like(rewards[:, 0]), []
    for place in reversed(range(rewards.shape[1])):
        own = mask[:, place] > 0
        surprise = rewards[:, place] + gamma * value - values[:, place]
        ahead = torch.where(own, surprise + gamma * lam * ahead, ahead)
        value = torch.where(own, values[:, place], value)
        advantages.append(ahead * own)
    return torch.stack(advantages[::-1], 1)


def value_losses(values: torch.Tensor, old: torch.Tensor, returns: torch.Tensor, clip: float) -> torch.Tensor:
    """Half the squared error of the value, or of the value held within `clip` of the old one where that is larger.

    All tensors: [answers, tokens].
    """
    held = old + (values - old).clamp(-clip, clip)
    return 0.5 * torch.max((values - returns) ** 2, (held - returns) ** 2)


@dataclass
class ActorCriticOutput(ModelOutput):
    """logits: [rows, tokens, vocabulary]. expected: values, [rows, tokens]. Of a class that DDP can take apart."""

    logits: torch.Tensor | None = None
    expected: torch.Tensor | None = None


class ActorCritic(torch.nn.Module):
    """A policy and, on its last hidden states, a linear value head; otherwise it behaves as the policy."""

    def __init__(self, policy: Any):
        super().__init__()
        self.policy = policy
        config = policy.config.get_text_config()
        self.value_head = torch.nn.Linear(config.hidden_size, 1, device=policy.device)
        torch.nn.init.zeros_(self.value_head.weight)
        torch.nn.init.zeros_(self.value_head.bias)

    def forward(self, **inputs: Any) -> Any:
        """The policy's logits, and what is expected from each position on."""
        output = self.policy(**inputs, output_hidden_states=True)
        return ActorCriticOutput(output.logits, self.value_head(output.hidden_states[-1].float())[..., 0])

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("policy"), name)


class ActorCriticTrainer(PolicyTrainer):
    """Tokens are actions; the value head says what was expected of each."""

    always_cache_logps = True
    model: Any
    """Policy and value head; the policy alone while that is saved."""

    def policy(self) -> Any:
        """The model that draws answers, without the value head."""
        return self.model.policy

    def behaviour_policy_outputs(self, inputs: Any) -> dict[str, torch.Tensor]:
        """The drawing policy's log-probabilities and values, the reference's too: [answers, tokens - 1]."""
        logps, values, _ = self.judged(self.model, inputs)
        outputs = {"old_logps": logps, "old_values": values}
        return (
            outputs
            if self.reference is None
            else outputs | {"reference_logps": self.reference_logps(self.model, inputs)}
        )

    def judged(self, model: Any, inputs: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(log-probabilities, values before each token, mask), all [answers, tokens - 1]."""
        inputs = dict(inputs)
        labels, layout = inputs.pop("labels")[:, 1:], inputs.pop("layout", None)
        if layout is None:
            output = model(**inputs, use_cache=False)
            logits, values = output.logits[:, :-1], output.expected[:, :-1]
        else:
            output, places = called(model, inputs, layout), layout.places[:, :-1]
            logits, values = output.logits[0][places], output.expected[0][places]
        logps, mask = labelled_logps(logits[labels != IGNORED], labels, self.method.temperature)
        return logps, values, mask

    def compute_advantages(self, rows: list[dict[str, Any]], rewards: torch.Tensor) -> None:
        """Each token's `advantages` and the `returns` that its value is to foretell. rewards: [answers]."""
        masks = [torch.tensor(row["labels"], device=rewards.device) != IGNORED for row in rows]
        given = rewards.nan_to_num(0.0)  # an answer without a reward has no trained token that could count
        advantages = [self.advantages(r, m, reward) for r, m, reward in zip(rows, masks, given, strict=True)]
        mean, deviation = self.moments_over_ranks(torch.cat([f[m] for f, m in zip(advantages, masks, strict=True)]))
        for row, values, mask in zip(rows, advantages, masks, strict=True):
            row["returns"] = (values + torch.tensor(row["old_values"], device=values.device)).tolist()
            white = (values - mean) / (deviation + 1e-8) if self.method.whiten_advantages else values
            row["advantages"] = (white * mask).tolist()

    def advantages(self, row: dict[str, Any], mask: torch.Tensor, reward: torch.Tensor) -> torch.Tensor:
        """The advantages of one answer's tokens, [tokens]."""
        old, values = (torch.tensor([row[k]], device=reward.device) for k in ("old_logps", "old_values"))
        reference = None
        if self.reference is not None:
            reference = torch.tensor([row["reference_logps"]], device=reward.device)
            self.log_metric("kl", ((old - reference) * mask).sum()[None])
        given = token_rewards(reward[None], old, reference, mask[None].float(), self.method.beta)
        return generalised_advantages(given, values, mask[None], self.method.gamma, self.method.gae_lambda)[0]

    def policy_loss(self, model: Any, inputs: Any, rollout_tensors: Any, totals: Any) -> torch.Tensor:
        """Both clipped losses, averaged over the tokens of the step; a scalar."""
        o = self.method
        logps, values, mask = self.judged(model, inputs)
        ratio = torch.exp((logps - rollout_tensors["old_logps"]) * mask)
        losses, clipped = clipped_losses(ratio, rollout_tensors["advantages"], o.epsilon, o.epsilon_high or o.epsilon)
        expected = value_losses(values, rollout_tensors["old_values"], rollout_tensors["returns"], o.value_clip)
        self.log_metric("clip_ratio", clipped * mask, mask.sum().item())
        self.log_metric("value_loss", expected * mask, mask.sum().item())
        return ((losses + o.value_coefficient * expected) * mask).sum() / totals[1]

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The policy as any other model, and the value head in a file beside it."""
        self.save_policy(output_dir)
        if self.args.should_save:
            head = {k: v.detach().cpu().contiguous() for k, v in self.model.value_head.state_dict().items()}
            save_file(head, Path(output_dir or self.args.output_dir, HEAD_FILE))

    def save_policy(self, folder: str | None) -> None:
        """The policy as any other model."""
        both = self.model
        self.model = both.policy
        try:
            super().save_model(folder)
        finally:
            self.model = both

    def _load_best_model(self) -> None:
        """The best checkpoint is the run's outcome; the model in memory is not used after that."""


def build_actor_critic_trainer(
    job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any, method: Any
) -> ActorCriticTrainer:
    """The policy with its value head, which a resumed run finds in its checkpoint."""
    hold_frozen(job, model)  # the trainer sees it wrapped, under other names
    both = ActorCritic(model)
    resume = job.memo.get(RESUMED)
    if resume is not None:
        both.value_head.load_state_dict(load_file(Path(resume, HEAD_FILE)))
    return build_policy_trainer(ActorCriticTrainer, job, both, processor, rows, eval_rows, method, policy=model)
