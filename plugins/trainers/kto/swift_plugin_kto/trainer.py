"""The trainer: each row with its label, and beside it the same question with another answer, for the divergence."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from swift_plugin_runtime.alignment.preference import answer_logps, silenced
from swift_plugin_runtime.alignment.reference import AlignmentTrainer, Reference
from swift_plugin_runtime.batching.lending import refuse_media_where_split
from swift_plugin_runtime.encoding.datasets import ENCODE_TOGETHER, EncodedRows, encode_some, fit, row_limit
from swift_plugin_runtime.encoding.row_filter import usable
from swift_plugin_runtime.options import training_options
from swift_plugin_runtime.training.trainer import build_arguments, make_collator

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.load import batches
from swift_core.data.values import truth_of


def kto_losses(ratio: torch.Tensor, good: torch.Tensor, divergence: torch.Tensor, o: Any) -> torch.Tensor:
    """λ·(1 - value) per answer, shape [answers]; eq. 8 of the paper.

    ratio: log π/π_ref of each answer. good: its label. divergence: the reference point z₀ ≥ 0, a scalar.
    """
    value = torch.sigmoid(o.beta * torch.where(good, ratio - divergence, divergence - ratio))
    weight = torch.where(good, o.desirable_weight, o.undesirable_weight)
    return weight * (1 - value)


class LabelTrainer(AlignmentTrainer):
    """Batches hold answers with labels; the `mismatched` half tells how far policy and reference are apart."""

    def __init__(self, job: Job, processor: Any, method: Any, reference: Reference, **arguments: Any):
        super().__init__(job, processor, reference, **arguments)
        self.method = method

    def count_items(self, batch: dict[str, Any]) -> int:
        """Answers in a batch."""
        return len(batch["good"])

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean of the answers' losses over the accumulated batch, on all ranks."""
        good = inputs["good"]
        ratio, logp = self.ratio(model, inputs["answers"])
        divergence = self.divergence(model, inputs["mismatched"])
        losses = kto_losses(ratio, good, divergence, self.method)
        self.note_answers(ratio, logp, good, divergence)
        count = len(losses) if num_items_in_batch is None else num_items_in_batch / self.accelerator.num_processes
        loss = losses.sum() / count
        return (loss, {}) if return_outputs else loss

    def ratio(self, model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """(log π/π_ref, log π), both [answers]."""
        inputs = dict(inputs)
        scale = inputs.pop("loss_scale", None)
        logp = answer_logps(model, inputs, scale)[0]
        assert self.reference is not None  # this trainer is always given one
        with self.reference.of(model, self.accelerator.unwrap_model(model)) as reference:
            before = answer_logps(reference, inputs, scale)[0]
        return logp - before, logp

    def divergence(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """z₀: the mean log ratio of answers that do not belong to their questions, over all ranks, at least 0.

        A scalar, in nats.
        """
        if self.method.loss_type != "kto":
            return torch.zeros((), device=self.args.device)
        with torch.no_grad():
            ratio, _ = self.ratio(model, inputs)
        total, count = self.over_ranks([ratio.sum().item(), len(ratio)])
        return (total / count).clamp(min=0)

    def note_answers(self, ratio: Any, logp: Any, good: Any, divergence: Any) -> None:
        """Rewards and log-likelihoods by label, the margin between the labels, and the divergence."""
        reward = self.method.beta * ratio
        self.log_metric("rewards/chosen", reward[good])
        self.log_metric("rewards/rejected", reward[~good])
        self.log_metric("logps/chosen", logp[good])
        self.log_metric("logps/rejected", logp[~good])
        self.log_metric("kl", divergence[None])

    def averages(self) -> dict[str, float]:
        """The base class's averages, and how far the good answers' reward is ahead where both labels were seen."""
        averages = super().averages()
        if {"rewards/chosen", "rewards/rejected"} <= averages.keys():
            averages["rewards/margins"] = averages["rewards/chosen"] - averages["rewards/rejected"]
        return averages


def build_label_trainer(job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any, method: Any) -> LabelTrainer:
    """Rows checked and encoded, the reference kept."""
    refuse_media_where_split(job, rows)
    join = make_collator(job, model, processor)

    def collate(items: list[Any]) -> dict[str, Any]:
        answers, mismatched, labels = zip(*items, strict=True)
        return {"answers": join(list(answers)), "mismatched": join(list(mismatched)), "good": torch.tensor(labels)}

    return LabelTrainer(
        job,
        processor,
        method,
        Reference(job, model),
        model=model,
        args=build_arguments(job, eval_strategy=training_options(job).save_strategy if eval_rows else "no"),
        train_dataset=encode_labelled(job, rows, processor, "training rows"),
        eval_dataset=encode_labelled(job, eval_rows, processor, "evaluation rows") if eval_rows else None,
        data_collator=collate,
    )


def encode_labelled(job: Job, rows: list[Row], processor: Any, what: str) -> EncodedRows:
    """(answer, the question with the next row's answer, label) of each row; dropped where one is too long.

    Raises SwiftError where no row is left.
    """
    kept = usable(job, [_judged(row) for row in rows], _fault, "a label")
    limit, strategy = row_limit(job, processor), training_options(job).truncation_strategy
    items = []
    for group in batches(list(zip(kept, [*kept[1:], kept[0]], strict=True)), ENCODE_TOGETHER):
        answers = encode_some(job, [_alone(row, row) for row, _ in group], processor)
        mismatched = encode_some(job, [_alone(row, other) for row, other in group], processor)
        for (row, _), pair in zip(group, zip(answers, mismatched, strict=True), strict=True):
            fitted = [fit(item, limit, strategy, row.where) for item in pair]
            if None not in fitted:
                items.append((*fitted, row.label))
    if len(items) < len(kept):
        job.say(f"dropped {len(kept) - len(items)} of {len(kept)} {what} longer than {limit} tokens")
    if not items:
        raise SwiftError(f"No {what} are left: all {len(kept)} are longer than max_length {limit}.")
    return EncodedRows(items)


def _alone(row: Row, other: Row) -> Row:
    """The row with the last answer of `other`, which alone is trained."""
    asked = row.prompt().messages
    return row.with_messages(silenced([*asked, other.messages[-1]], len(asked)))


def _judged(row: Row) -> Row:
    """The row with its label as true or false, which tables and other formats write as 1, 0 or words."""
    good = truth_of(row.label)
    return row if good is None else dataclasses.replace(row, label=good)


def _fault(row: Row) -> str | None:
    return (
        None if isinstance(row.label, bool) else f"kto needs a column label that is true or false, found {row.label!r}."
    )
