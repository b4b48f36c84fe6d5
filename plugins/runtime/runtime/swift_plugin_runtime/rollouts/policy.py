"""Policy gradients: rollouts for each optimizer step (answers, rewards, advantages), then the loss of micro-batches."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

import torch

from swift_core import SwiftError
from swift_core.contract.engine import Request
from swift_core.contract.job import Job
from swift_core.data.load import batches
from swift_core.evaluation.rewards import score_all
from swift_core.inference.conversation import sampling
from swift_core.templates.encode import IGNORED
from swift_plugin_runtime.alignment.laying import choose_join
from swift_plugin_runtime.alignment.reference import Reference, token_logps
from swift_plugin_runtime.batching.shared_rows import BESIDE, Join, PaddedRows, by_prompt
from swift_plugin_runtime.loading.modes import evaluating
from swift_plugin_runtime.loading.processor import pad_id_of
from swift_plugin_runtime.options import training_options
from swift_plugin_runtime.rollouts.rollout import (
    PolicyEngine,
    Rollout,
    encode_prompts,
    learning_row,
    media_tokens,
    roll_out,
)
from swift_plugin_runtime.training.arguments import build_arguments
from swift_plugin_runtime.training.trainer import Trainer

Batch = dict[str, Any]


class PolicyTrainer(Trainer):
    """Batches of the data loader are prompts; each prompt brings `num_generations` answers, drawn on this rank.

    A subclass says how good answers are (`compute_advantages`) and what a micro-batch costs (`policy_loss`). Answers
    are learning rows; what a subclass adds to one is collated with it: numbers as [answers, 1], lists along the tokens
    as [answers, tokens]. Its method has the options of `RolloutOptions`.
    """

    unit = "prompts"
    always_cache_logps = False
    """Whether the first step on a rollout, too, compares with the policy that drew it (else: only later ones)."""

    def __init__(self, job: Job, processor: Any, method: Any, reference: Reference | None, **arguments: Any):
        self.join: Join = arguments.pop("join", None) or PaddedRows(pad_id_of(processor))
        super().__init__(job, processor, **arguments)
        self.method = method
        self.reference = None if reference is None else reference.prepared(self)
        self.policy_engine = PolicyEngine(self, self.save_policy, self.policy)
        self.sampling = sampling(method, banned=media_tokens(self.model.config))
        self.rollout: list[Batch] = []

    # -- what a method adds ---------------------------------------------------------------------------------
    def compute_advantages(self, rows: list[dict[str, Any]], rewards: torch.Tensor) -> None:
        """Add to each learning row what the loss needs. rewards: [answers], NaN where every reward abstained.

        Its `advantage` is a number, or `advantages` a list along the tokens. An answer without a reward trains no
        token; it must not count in what the others are compared with, and its advantage is 0.
        """
        raise NotImplementedError

    def policy_loss(self, model: Any, inputs: Batch, rollout_tensors: Batch, totals: torch.Tensor) -> torch.Tensor:
        """The share of one micro-batch in the loss of the step, a scalar.

        inputs: model inputs with labels. rollout_tensors: what the rows brought beside them. totals: (answers,
        trained tokens) of the whole step on all ranks.
        """
        raise NotImplementedError

    def save_policy(self, folder: str) -> None:
        """The policy alone, as a server loads it."""
        self.save_model(folder)

    # -- rollouts -------------------------------------------------------------------------------------------
    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.share[1]
        seed = self.args.data_seed if self.job.options.dataset_shuffle else None
        return PromptOrder(len(self.train_dataset), step, self.method.num_iterations, seed)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Batch], Any]:
        """The answers of one optimizer step, one batch per batch of prompts, and the step's totals.

        Every num_iterations-th step draws anew; in between the prompts that come are the same ones.
        """
        asked = [batch["prompts"] for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        if not self.rollout or self.state.global_step % self.method.num_iterations == 0:
            self.rollout = self.roll_out(asked)
            if self.method.num_iterations > 1 and not self.always_cache_logps:
                self.cache_logps(self.rollout)
        return self.rollout, self.totals(self.rollout)

    def totals(self, rollout: list[Batch]) -> torch.Tensor:
        """(answers that a reward judged, trained tokens) of the step on all ranks, shape [2]."""
        rows = [row for batch in rollout for row in batch["answers"]]
        trained = sum(label != IGNORED for row in rows for label in row["labels"])
        return self.over_ranks([sum(batch["judged"] for batch in rollout), trained]).clamp(min=1)

    def roll_out(self, asked: list[list[Request]]) -> list[Batch]:
        """Answers to batches of prompts as batches of learning rows with their advantages."""
        count = self.method.num_generations
        drawn = self.generate([p for prompts in asked for p in prompts for _ in range(count)])
        drawn, rewards = self.agreed((drawn, self.rewards(drawn)))
        self.log_completions(drawn)
        judged = (~rewards.isnan()).tolist()
        rows = [self.answer_row(rollout, given) for rollout, given in zip(drawn, judged, strict=True)]
        if self.always_cache_logps:
            self.cache_logps([{"answers": rows}])
        self.compute_advantages(rows, rewards)
        left = iter(zip(rows, judged, strict=True))
        parts = [[next(left) for _ in range(len(prompts) * count)] for prompts in asked]
        return [{"answers": [row for row, _ in part], "judged": sum(given for _, given in part)} for part in parts]

    def generate(self, prompts: list[Request]) -> list[Rollout]:
        """One rollout to each prompt; reproducible from seed, step and rank."""
        seed = (self.args.seed * 100_003 + self.state.global_step) * 1009 + self.share[0]
        return roll_out(
            self.job,
            self.policy_engine.current(),
            self.processing_class,
            prompts,
            self.sampling,
            seed,
            self.method.max_turns,
            self.method.generation_batch_size,
        )

    def rewards(self, drawn: list[Rollout]) -> torch.Tensor:
        """The weighted sum of the rewards of each answer, [answers]; logs what they were.

        A reward that abstains adds nothing to the sum, whose weights stay as they are (as in TRL). NaN: all abstained.
        """
        values = score_all(self.job, [rollout.row for rollout in drawn], [rollout.text for rollout in drawn])
        held = [[math.nan if value is None else value for value in line] for line in values]
        scored = torch.tensor(held, device=self.args.device)
        weights = torch.tensor(self.method.reward_weights or [1.0] * scored.shape[1], device=scored.device)
        abstained = scored.isnan().all(1)
        total = (scored * weights).nansum(1).masked_fill(abstained, math.nan)
        self.log_rewards(scored, total)
        self.log_metric("rewards/abstained", abstained.float())
        return total

    def log_rewards(self, scored: torch.Tensor, total: torch.Tensor) -> None:
        """Log each reward and their sum over the answers judged. scored: [answers, rewards]. total: [answers]."""
        self.log_metric("reward", known(total))
        for item, column in zip(self.job.many("reward"), scored.T, strict=True):
            given = known(column)
            self.log_metric(f"rewards/{item.label}", given)
            self.log_metric(f"rewards/{item.label}/std", given.std(unbiased=len(given) > 1)[None][: len(given)])
        groups = total.view(-1, self.method.num_generations)
        if groups.shape[1] > 1:
            deviations = known(group_std(groups))
            self.log_metric("reward_std", deviations)
            self.log_metric("reward_ties", (deviations < 1e-6).float())

    def answer_row(self, rollout: Rollout, judged: bool = True) -> dict[str, Any]:
        """The learning row of one rollout; nothing of it is trained where no reward judged it.

        Nor where cut answers are masked.
        """
        row = learning_row(rollout)
        if not judged or (getattr(self.method, "mask_truncated", False) and rollout.cut):
            row["labels"] = [IGNORED] * len(row["labels"])
        return row

    def log_completions(self, drawn: list[Rollout]) -> None:
        """Length in tokens of what the model wrote, its turns where there may be several, and the share cut."""
        self.log_metric("completions/length", torch.tensor([float(rollout.length) for rollout in drawn]))
        if self.job.many("environment"):
            self.log_metric("completions/turns", torch.tensor([float(len(rollout.turns)) for rollout in drawn]))
        self.log_metric("completions/cut", torch.tensor([float(rollout.cut) for rollout in drawn]))

    def cache_logps(self, rollout: list[Batch]) -> None:
        """Keep what the models say of the answers now, for when the policy has moved on."""
        for rows in self.micro_batches(rollout):
            inputs, _ = self.split(self._prepare_inputs(self.collate(rows)))
            with evaluating(self.model), self.compute_loss_context_manager():
                for name, values in self.behaviour_policy_outputs(inputs).items():
                    for row, line in zip(rows, values.tolist(), strict=True):
                        row[name] = [0.0, *line][: len(row["input_ids"])]

    def behaviour_policy_outputs(self, inputs: Batch) -> dict[str, torch.Tensor]:
        """What is cached: `old_logps`, log-probabilities under the drawing policy, [answers, tokens - 1]."""
        return {"old_logps": token_logps(self.model, inputs, self.method.temperature)[0]}

    def std_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        """The unbiased standard deviation of all ranks' values, a scalar. values: any shape."""
        return self.moments_over_ranks(values)[1]

    def moments_over_ranks(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(mean, unbiased standard deviation) of all ranks' values that are not NaN, two scalars. values: any shape."""
        values = known(values)
        count, total = self.over_ranks([values.numel(), values.sum().item()])
        mean = total / count.clamp(min=1)
        squares = self.over_ranks([((values - mean) ** 2).sum().item()])[0]
        return mean, (squares / (count - self.copies).clamp(min=1)).sqrt()

    # -- learning -------------------------------------------------------------------------------------------
    def micro_batches(self, rollout: list[Batch]) -> Iterator[list[dict[str, Any]]]:
        """Rows of one forward pass at a time."""
        for batch in rollout:
            yield from batches(batch["answers"], self.method.micro_batch_size or self.method.num_generations)

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        """Model inputs with labels, and what the rows brought beside them; see the class."""
        numbers = [name for name, value in rows[0].items() if isinstance(value, float)]
        batch = self.join([{k: v for k, v in row.items() if k not in numbers} for row in rows], by_prompt(rows))
        return {**batch, **{f"{name}s": torch.tensor([[row[name]] for row in rows]) for name in numbers}}

    def split(self, batch: Batch) -> tuple[Batch, Batch]:
        """(model inputs with labels, what the rows brought beside them); the latter along labels' [:, 1:]."""
        names = [name for name in ROLLOUT_TENSORS if name in batch]
        tensors = {name: batch[name][:, 1:] if batch[name].shape[1] > 1 else batch[name] for name in names}
        return {k: v for k, v in batch.items() if k not in tensors}, tensors

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward, a few answers at a time; returns the summed loss, a scalar."""
        loss = torch.zeros((), device=self.args.device)
        for rows in self.micro_batches([inputs]):
            loss += super().training_step(model, self.collate(rows), num_items_in_batch)
        return loss

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The method's loss of a micro-batch, weighted so that those of a step add up to its mean."""
        inputs, rollout_tensors = self.split(inputs)
        totals = num_items_in_batch
        if totals is None:
            totals = torch.tensor([len(inputs["labels"]), (inputs["labels"][:, 1:] != IGNORED).sum()])
        loss = self.policy_loss(model, inputs, rollout_tensors, totals) * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss

    def reference_logps(self, model: Any, batch: Batch) -> torch.Tensor:
        """Log-probabilities [answers, tokens - 1] under the reference."""
        assert self.reference is not None  # asked only under --beta, which keeps one
        with self.reference.of(model, self.accelerator.unwrap_model(model)) as reference:
            return token_logps(reference, batch, self.method.temperature)[0]

    def prediction_step(self, model: Any, inputs: Batch, *_: Any, **__: Any) -> tuple[torch.Tensor, None, None]:
        """Draw and score answers to held-out prompts: their rewards are the evaluation. The loss is a scalar."""
        rollout = self.roll_out([inputs["prompts"]])
        loss = torch.zeros((), device=self.args.device)
        with torch.no_grad():
            for rows in self.micro_batches(rollout):
                batch = self._prepare_inputs(self.collate(rows))
                loss += self.compute_loss(model, batch, num_items_in_batch=self.totals(rollout))
        return loss, None, None

    def train(self, *arguments: Any, **named: Any) -> Any:
        """As the base class; a server for rollouts ends with it, however it ends."""
        try:
            return super().train(*arguments, **named)
        finally:
            self.policy_engine.close()

    def floating_point_ops(self, inputs: Batch) -> int:
        """Not counted: drawing costs more than the passes that could be counted."""
        return 0


def known(values: torch.Tensor) -> torch.Tensor:
    """The values that are not NaN, [values]. values: any shape."""
    return values[~values.isnan()]


def group_std(groups: torch.Tensor) -> torch.Tensor:
    """The unbiased standard deviation of each group's known values, [groups, 1]; NaN where fewer than two are known.

    groups: [groups, answers], NaN where an answer has no reward.
    """
    squares = (groups - groups.nanmean(1, keepdim=True)) ** 2
    count = (~groups.isnan()).sum(1, keepdim=True)
    return (squares.nansum(1, keepdim=True) / (count - 1).clamp(min=0)).sqrt()


ROLLOUT_TENSORS = ("advantages", "old_logps", "reference_logps", "old_values", "returns")
"""What rows of answers may bring beside the model's inputs."""


class PromptOrder(torch.utils.data.Sampler):
    """Which prompt comes when: an epoch's order in slices of one optimizer step, each slice `times` over.

    seed: of the shuffling, None for the order of the data. Where slices repeat, the last one is filled up
    from the start of the order, so that every slice is a whole step.
    """

    def __init__(self, count: int, step: int, times: int, seed: int | None):
        self.count, self.step, self.times, self.seed = count, step, times, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Another epoch, another order; the same on every rank and after a resume."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count if self.times == 1 else math.ceil(self.count / self.step) * self.step * self.times

    def __iter__(self) -> Iterator[int]:
        order = list(range(self.count))
        if self.seed is not None:
            random.Random(self.seed * 1009 + self.epoch).shuffle(order)
        if self.times > 1:
            order = list(itertools.islice(itertools.cycle(order), len(self) // self.times))
        for part in batches(order, self.step):
            for _ in range(self.times):
                yield from part


def build_policy_trainer(
    trainer: Any, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any, method: Any, policy: Any = None
) -> PolicyTrainer:
    """Prompts encoded, the reference kept where β asks for it; the best checkpoint is that of the highest reward.

    trainer: the subclass. policy: the model without what the method wraps around it, for the reference.
    """
    check_rewards(job, method)
    policy = model if policy is None else policy
    join = choose_join(job, policy, processor, rows, (*BESIDE, *ROLLOUT_TENSORS))
    room = method.max_completion_length
    train = encode_prompts(job, rows, processor, room, "training prompts")
    held = encode_prompts(job, eval_rows, processor, room, "evaluation prompts") if eval_rows else None
    best: dict[str, Any] = {"metric_for_best_model": "reward", "greater_is_better": True} if held else {}
    built: PolicyTrainer = trainer(
        job,
        processor,
        method,
        Reference(job, policy) if method.beta else None,
        model=model,
        args=build_arguments(job, eval_strategy=training_options(job).save_strategy if held else "no", **best),
        train_dataset=train,
        eval_dataset=held,
        data_collator=lambda prompts: {"prompts": prompts},
        join=join,
    )
    return built


def check_rewards(job: Job, method: Any) -> None:
    """SwiftError where a job that learns from rewards has none, or another number of weights."""
    name = job.many("trainer")[0].entry.name
    rewards = [item.label for item in job.many("reward")]
    if not rewards:
        raise SwiftError(f"{name} learns from rewards. Say --reward with one or more (swift list rewards).")
    if method.reward_weights and len(method.reward_weights) != len(rewards):
        raise SwiftError(f"--reward_weights has {len(method.reward_weights)} values for the rewards {rewards}.")


def clipped_losses(
    ratio: torch.Tensor, advantages: torch.Tensor, low: float, high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(PPO's clipped loss, arXiv 1707.06347 eq. 7; 1 where the clip took the gradient away), shape of `ratio`."""
    away = ((ratio < 1 - low) & (advantages < 0)) | ((ratio > 1 + high) & (advantages > 0))
    loss = -torch.min(ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages)
    return loss, away.float()


def token_rewards(
    rewards: torch.Tensor, old: torch.Tensor, reference: torch.Tensor | None, mask: torch.Tensor, beta: float
) -> torch.Tensor:
    """-β·(log π - log π_ref) at each token, and the answer's reward at its last one, [answers, tokens].

    rewards: [answers]. old, reference: log-probabilities of the drawn tokens. An answer that trains no token
    gets zeros.
    """
    penalty = torch.zeros_like(old) if reference is None else -beta * (old - reference) * mask
    places = torch.arange(mask.shape[1], device=mask.device)
    last = (places * mask).argmax(1)
    at_end = (places[None] == last[:, None]) & (mask > 0)
    return penalty + at_end * rewards[:, None]
