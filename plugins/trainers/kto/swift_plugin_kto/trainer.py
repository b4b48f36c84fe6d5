"""The trainer: each row with its label, and beside it the same question with another answer, for the divergence."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from swift_plugin_runtime.alignment.laying import choose_join
from swift_plugin_runtime.alignment.preference import answer_logps, silenced
from swift_plugin_runtime.alignment.reference import AlignmentTrainer, Reference, number_rows, numbered
from swift_plugin_runtime.batching.lending import refuse_media_where_split
from swift_plugin_runtime.batching.shared_rows import Join, side_by_side
from swift_plugin_runtime.encoding.datasets import ENCODE_TOGETHER, EncodedRows, encode_some, fit, row_limit
from swift_plugin_runtime.encoding.row_filter import usable
from swift_plugin_runtime.options import training_options
from swift_plugin_runtime.training.arguments import build_arguments

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


@dataclass(frozen=True)
class Aside:
    """A batch of rows that stand in other batches as well, and are counted there."""

    batch: dict[str, Any]

    def to(self, device: Any, **more: Any) -> Aside:
        """The same on a device; arguments as those of a tensor's `to`."""
        return Aside({k: v.to(device, **more) if hasattr(v, "to") else v for k, v in self.batch.items()})


def logps_of(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Σ weight · log p of each row's trained tokens, [rows], in nats."""
    inputs = dict(inputs)
    return answer_logps(model, inputs, inputs.pop("loss_scale", None))[0]


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
        good, answers, mismatched = inputs["good"], inputs["answers"], inputs["mismatched"]
        logp = logps_of(model, answers)
        before = self.before(model, inputs).to(logp)
        ratio = logp - before[: len(good)]
        divergence = self.divergence(model, mismatched, before[len(good) :])
        losses = kto_losses(ratio, good, divergence, self.method)
        self.note_answers(ratio, logp, good, divergence)
        count = len(losses) if num_items_in_batch is None else num_items_in_batch / self.accelerator.num_processes
        loss = losses.sum() / count
        return (loss, {}) if return_outputs else loss

    def before(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """What the reference finds of the answers and of the mismatched ones behind them, [2 answers], in nats."""

        def ask() -> torch.Tensor:
            assert self.reference is not None  # this trainer is always given one
            with self.reference.of(model, self.accelerator.unwrap_model(model)) as reference:
                return logps_of(reference, inputs["both"].batch)

        return self.remembered.of(inputs["numbers"], ask)

    def divergence(self, model: Any, inputs: dict[str, Any], before: torch.Tensor) -> torch.Tensor:
        """z₀: the mean log ratio of answers that do not belong to their questions, over all ranks, at least 0.

        before: the reference's log-likelihoods of them, [answers]. A scalar, in nats.
        """
        if self.method.loss_type != "kto":
            return torch.zeros((), device=self.args.device)
        with torch.no_grad():
            ratio = logps_of(model, inputs) - before
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
    train = encode_labelled(job, rows, processor, "training rows")
    held = encode_labelled(job, eval_rows, processor, "evaluation rows") if eval_rows else None
    number_rows([row for items in (train, held) for item in items or () for row in item[:2]])
    join, paired = choose_join(job, model, processor, rows), method.loss_type == "kto"
    return LabelTrainer(
        job,
        processor,
        method,
        Reference(job, model),
        model=model,
        args=build_arguments(job, eval_strategy=training_options(job).save_strategy if eval_rows else "no"),
        train_dataset=train,
        eval_dataset=held,
        data_collator=lambda items: joined_answers(join, items, paired),
    )


def joined_answers(join: Join, items: list[Any], paired: bool) -> dict[str, Any]:
    """The batch of some answers, of their mismatched ones, and for the reference of both, which share their questions.

    paired: whether mismatched ones are asked about at all.
    """
    answers, mismatched, labels = (list(column) for column in zip(*items, strict=True))
    both = numbered(join, answers + mismatched * paired, side_by_side(len(items)) if paired else [])
    numbers = both.pop("numbers", None)
    parts = {"answers": numbered(join, answers, []), "mismatched": numbered(join, mismatched, [])}
    for part in parts.values():
        part.pop("numbers", None)
    return {**parts, "both": Aside(both), "good": torch.tensor(labels), "numbers": numbers}


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
