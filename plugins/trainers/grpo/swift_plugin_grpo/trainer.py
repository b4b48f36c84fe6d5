"""The trainer: for each optimizer step a rollout (draw, score, compare within the group), then the clipped loss."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

import torch
from swift_plugin_runtime.alignment import AlignmentTrainer, Reference, token_logps
from swift_plugin_runtime.rollout import (
    Completion,
    Prompt,
    Sampling,
    draw,
    encode_prompts,
    evaluating,
    learning_row,
)
from swift_plugin_runtime.training import build_arguments, make_collator

from swift_core.data.load import batches
from swift_core.rewards import score_all
from swift_core.templates.encode import IGNORED
from swift_plugin_grpo.losses import divergence, group_advantages, policy_losses, token_weights

Batch = dict[str, Any]


class GroupTrainer(AlignmentTrainer):
    """Batches of the data loader are prompts; each prompt brings `num_generations` answers, drawn on this rank."""

    def __init__(self, job: Any, processor: Any, method: Any, reference: Reference | None, **arguments: Any):
        self.join = make_collator(job, arguments["model"], processor)
        super().__init__(job, processor, reference, **arguments)
        self.method = method
        self.sampling = Sampling(method.max_completion_length, method.temperature, method.top_p, method.top_k)
        self.rollout: list[Batch] = []

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        seed = self.args.data_seed if self.job.options.dataset_shuffle else None
        return PromptOrder(len(self.train_dataset), step, self.method.num_iterations, seed)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Batch], Any]:
        """The answers of one optimizer step, one batch per batch of prompts, and the step's totals.

        Every num_iterations-th step draws anew; in between the prompts that come are the same ones.
        """
        asked = [batch["prompts"] for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        if not self.rollout or self.state.global_step % self.method.num_iterations == 0:
            self.rollout = self.roll_out(asked)
            if self.method.num_iterations > 1:
                self.remember(self.rollout)
        return self.rollout, self.totals(self.rollout)

    def totals(self, rollout: list[Batch]) -> torch.Tensor:
        """(answers, trained tokens) of the step on all ranks, shape [2]."""
        rows = [row for batch in rollout for row in batch["answers"]]
        trained = sum(label != IGNORED for row in rows for label in row["labels"])
        return self.over_ranks([len(rows), trained]).clamp(min=1)

    def roll_out(self, asked: list[list[Prompt]]) -> list[Batch]:
        """Answers to batches of prompts as batches of learning rows with their `advantage`."""
        repeated = [p for prompts in asked for p in prompts for _ in range(self.method.num_generations)]
        drawn = self.draw_all(repeated)
        rewards = score_all(self.job, [c.prompt.row for c in drawn], [c.text for c in drawn])
        advantages = self.advantages(torch.tensor(rewards, device=self.args.device))
        self.note_completions(drawn)
        rows = iter([self.answer_row(c, a) for c, a in zip(drawn, advantages.tolist(), strict=True)])
        count = self.method.num_generations
        return [{"answers": [next(rows) for _ in range(len(prompts) * count)]} for prompts in asked]

    def draw_all(self, prompts: list[Prompt]) -> list[Completion]:
        """One answer to each prompt, a generation batch at a time; reproducible from seed, step and rank."""
        seed = (self.args.seed * 100_003 + self.state.global_step) * 1009 + self.args.process_index
        together = self.method.generation_batch_size or len(prompts)
        return [
            completion
            for number, part in enumerate(batches(prompts, together))
            for completion in draw(self.job, self.model, self.processing_class, part, self.sampling, seed + number * 31)
        ]

    def advantages(self, rewards: torch.Tensor) -> torch.Tensor:
        """Advantage of each answer, [answers], from the rewards [answers, rewards]; notes what they were."""
        weights = torch.tensor(self.method.reward_weights or [1.0] * rewards.shape[1], device=rewards.device)
        total = rewards @ weights
        groups = total.view(-1, self.method.num_generations)
        self.note("reward", total)
        self.note("reward_std", groups.std(1))
        self.note("reward_ties", (groups.std(1) < 1e-6).float())
        for item, column in zip(self.job.many("reward"), rewards.T, strict=True):
            self.note(f"rewards/{item.label}", column)
            self.note(f"rewards/{item.label}/std", column.std()[None])
        batch_std = self.std_over_ranks(total) if self.method.scale_rewards == "batch" else None
        return group_advantages(groups, self.method.scale_rewards, batch_std).flatten()

    def std_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        """The unbiased standard deviation of all ranks' values."""
        count, total = self.over_ranks([values.numel(), values.sum().item()])
        squares = self.over_ranks([((values - total / count) ** 2).sum().item()])[0]
        return (squares / (count - 1).clamp(min=1)).sqrt()

    def answer_row(self, completion: Completion, advantage: float) -> dict[str, Any]:
        """The learning row of one answer; nothing of it is trained where cut answers are masked."""
        row = learning_row(completion)
        if self.method.mask_truncated and not completion.ended:
            row["labels"] = [IGNORED] * len(row["labels"])
        return {**row, "advantage": advantage}

    def note_completions(self, drawn: list[Completion]) -> None:
        """Length in tokens, and the share cut at the limit."""
        self.note("completions/length", torch.tensor([float(len(c.ids)) for c in drawn]))
        self.note("completions/cut", torch.tensor([float(not c.ended) for c in drawn]))

    def remember(self, rollout: list[Batch]) -> None:
        """Keep the log-probabilities under the drawing policy, for the steps in which the policy has moved on."""
        for rows in self.passes(rollout):
            inputs = self._prepare_inputs(self.collate(rows))
            inputs.pop("advantages")
            with evaluating(self.model), self.compute_loss_context_manager():
                logps, _ = token_logps(self.model, inputs, self.method.temperature)
            for row, values in zip(rows, logps.tolist(), strict=True):
                row["old_logps"] = [0.0, *values][: len(row["input_ids"])]

    def passes(self, rollout: list[Batch]) -> Iterator[list[dict[str, Any]]]:
        """Rows of one forward pass at a time."""
        for batch in rollout:
            yield from batches(batch["answers"], self.method.completions_per_pass or self.method.num_generations)

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        """Model inputs with labels, `advantages` [answers, 1] and, where remembered, `old_logps` [answers, tokens]."""
        batch: Batch = self.join([{k: v for k, v in row.items() if k != "advantage"} for row in rows])
        return {**batch, "advantages": torch.tensor([[row["advantage"]] for row in rows])}

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward, a few answers at a time; returns the summed loss."""
        loss = torch.zeros((), device=self.args.device)
        for rows in self.passes([inputs]):
            loss += super().training_step(model, self.collate(rows), num_items_in_batch)
        return loss

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The clipped objective of a pass's answers, weighted so that the passes of a step add up to its mean."""
        inputs = dict(inputs)
        advantages, old = inputs.pop("advantages"), inputs.pop("old_logps", None)
        logps, mask = token_logps(model, inputs, self.method.temperature)
        old = logps.detach() if old is None else old[:, 1:]
        losses, clipped = policy_losses(logps, old, advantages, mask, self.method)
        if self.reference is not None:
            kl = divergence(logps, self.reference_logps(model, inputs))
            losses = losses + self.method.beta * kl
            self.note("kl", kl * mask, mask.sum().item())
        self.note("clip_ratio", clipped * mask, mask.sum().item())
        totals = (len(mask), mask.sum()) if num_items_in_batch is None else num_items_in_batch
        loss = (losses * token_weights(mask, self.method, *totals)).sum() * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss

    def reference_logps(self, model: Any, batch: Batch) -> torch.Tensor:
        """Log-probabilities [answers, tokens - 1] under the reference."""
        with self.reference.of(model, self.accelerator.unwrap_model(model)) as reference:
            return token_logps(reference, batch, self.method.temperature)[0]

    def prediction_step(self, model: Any, inputs: Batch, *_: Any, **__: Any) -> tuple[torch.Tensor, None, None]:
        """Draw and score answers to held-out prompts: their rewards are the evaluation."""
        rollout = self.roll_out([inputs["prompts"]])
        loss = torch.zeros((), device=self.args.device)
        with torch.no_grad():
            for rows in self.passes(rollout):
                batch = self._prepare_inputs(self.collate(rows))
                loss += self.compute_loss(model, batch, num_items_in_batch=self.totals(rollout))
        return loss, None, None

    def floating_point_ops(self, inputs: Batch) -> int:
        """Not counted: drawing costs more than the passes that could be counted."""
        return 0


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


def build_group_trainer(job: Any, model: Any, processor: Any, rows: Any, eval_rows: Any, method: Any) -> GroupTrainer:
    """Prompts encoded, the reference kept where β asks for it; the best checkpoint is that of the highest reward."""
    room = method.max_completion_length
    train = encode_prompts(job, rows, processor, room, "training prompts")
    held = encode_prompts(job, eval_rows, processor, room, "evaluation prompts") if eval_rows else None
    best = {"metric_for_best_model": "reward", "greater_is_better": True} if held else {}
    return GroupTrainer(
        job,
        processor,
        method,
        Reference(job, model) if method.beta else None,
        model=model,
        args=build_arguments(job, eval_strategy=job.options.save_strategy if held else "no", **best),
        train_dataset=train,
        eval_dataset=held,
        data_collator=lambda prompts: {"prompts": prompts},
    )
