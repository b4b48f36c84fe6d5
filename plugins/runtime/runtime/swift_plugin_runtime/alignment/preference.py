"""Learning from pairs: a better and a worse conversation, encoded like any row, and a loss over their likelihoods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from tqdm import tqdm

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.load import batches
from swift_plugin_runtime.alignment.laying import choose_join
from swift_plugin_runtime.alignment.reference import (
    AlignmentTrainer,
    Reference,
    number_rows,
    numbered,
    token_logps,
)
from swift_plugin_runtime.batching.lending import refuse_media_where_split
from swift_plugin_runtime.batching.shared_rows import Join, side_by_side
from swift_plugin_runtime.encoding.datasets import ENCODE_TOGETHER, EncodedRows, encode_some, fit, row_limit
from swift_plugin_runtime.encoding.row_filter import usable
from swift_plugin_runtime.options import training_options
from swift_plugin_runtime.training.arguments import build_arguments


@dataclass(frozen=True)
class Answers:
    """One side of a batch of pairs, the chosen answers or the rejected ones; tensors of shape [pairs].

    logp: Σ weight · log p(token) over the trained tokens, in nats. reference: the same under the reference
    model, zeros where a method has none. tokens: the number of trained tokens.
    """

    logp: torch.Tensor
    reference: torch.Tensor
    tokens: torch.Tensor

    @property
    def ratio(self) -> torch.Tensor:
        """log π(y|x) / π_ref(y|x). Shape [pairs]."""
        return self.logp - self.reference

    @property
    def mean_ratio(self) -> torch.Tensor:
        """The log ratio per token. Shape [pairs]."""
        return self.ratio / self.tokens

    @property
    def mean_logp(self) -> torch.Tensor:
        """The log-likelihood per token. Shape [pairs]."""
        return self.logp / self.tokens


class PairMethod(Protocol):
    """What a trainer component supplies."""

    @property
    def needs_reference(self) -> bool:
        """Whether the reference model is asked for its likelihoods."""

    def pair_losses(self, chosen: Answers, rejected: Answers) -> torch.Tensor:
        """One loss per pair, shape [pairs]."""

    def reward(self, answers: Answers) -> torch.Tensor:
        """The implicit reward of each answer, shape [pairs]: for the logs alone."""


class PairTrainer(AlignmentTrainer):
    """Trains on batches of pairs: the chosen rows stand first, the rejected ones behind them in the same order."""

    unit = "pairs"

    def __init__(self, job: Job, processor: Any, method: PairMethod, reference: Reference | None, **arguments: Any):
        super().__init__(job, processor, reference, **arguments)
        self.method = method

    def count_items(self, batch: dict[str, Any]) -> int:
        """Pairs in a batch."""
        return len(batch["labels"]) // 2

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean of the method's loss over all pairs of the accumulated batch, on all ranks."""
        chosen, rejected = self.compare(model, inputs)
        losses = self.method.pair_losses(chosen, rejected)
        self.note_pairs(chosen, rejected)
        if num_items_in_batch is None:
            loss = losses.mean()
        else:  # the ranks' gradients are averaged afterwards, so each gives its sum times their number
            loss = losses.sum() / num_items_in_batch * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss

    def compare(self, model: Any, inputs: dict[str, Any]) -> tuple[Answers, Answers]:
        """(chosen, rejected) of one batch."""
        inputs = dict(inputs)
        scale, numbers = inputs.pop("loss_scale", None), inputs.pop("numbers", None)
        logp, tokens = answer_logps(model, inputs, scale)
        before = torch.zeros_like(logp)
        if self.reference is not None:
            before = self.remembered.of(numbers, lambda: self.before(model, inputs, scale)).to(logp)
        sides = zip(logp.chunk(2), before.chunk(2), tokens.chunk(2), strict=True)
        chosen, rejected = (Answers(*side) for side in sides)
        return chosen, rejected

    def before(self, model: Any, inputs: dict[str, Any], scale: torch.Tensor | None) -> torch.Tensor:
        """What the reference finds of the answers of a batch, [rows]."""
        assert self.reference is not None
        with self.reference.of(model, self.accelerator.unwrap_model(model)) as reference:
            return answer_logps(reference, inputs, scale)[0]

    def note_pairs(self, chosen: Answers, rejected: Answers) -> None:
        """Implicit rewards, their margin, how often the chosen answer wins, and the log-likelihoods."""
        better, worse = self.method.reward(chosen).detach(), self.method.reward(rejected).detach()
        self.log_metric("rewards/chosen", better)
        self.log_metric("rewards/rejected", worse)
        self.log_metric("rewards/margins", better - worse)
        self.log_metric("rewards/accuracies", (better > worse).float())
        self.log_metric("logps/chosen", chosen.logp)
        self.log_metric("logps/rejected", rejected.logp)


def answer_logps(
    model: Any, inputs: dict[str, Any], scale: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(Σ weight · log p in nats, trained tokens), both [rows]. scale: the loss scale, [rows, tokens]."""
    logps, mask = token_logps(model, inputs)
    weighted = logps if scale is None else logps * scale[:, 1:]
    return weighted.sum(1), mask.sum(1)


def build_pair_trainer(
    job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any, method: PairMethod
) -> PairTrainer:
    """The trainer of a method over pairs: rows encoded in pairs, the reference kept where it is needed."""
    refuse_media_where_split(job, rows)
    train = encode_pairs(job, rows, processor, "training pairs")
    held = encode_pairs(job, eval_rows, processor, "evaluation pairs") if eval_rows else None
    join = choose_join(job, model, processor, rows)
    if method.needs_reference:
        number_rows([row for pairs in (train, held) for pair in pairs or () for row in pair])
    return PairTrainer(
        job,
        processor,
        method,
        Reference(job, model) if method.needs_reference else None,
        model=model,
        args=build_arguments(job, eval_strategy=training_options(job).save_strategy if held else "no"),
        train_dataset=train,
        eval_dataset=held,
        data_collator=lambda pairs: joined_pairs(join, pairs),
    )


def joined_pairs(join: Join, pairs: list[Any]) -> dict[str, Any]:
    """The batch of some pairs of encoded rows, and in `numbers` those of its rows where they have some."""
    rows = [side for place in (0, 1) for side in (pair[place] for pair in pairs)]
    return numbered(join, rows, side_by_side(len(pairs)))


def encode_pairs(job: Job, rows: list[Row], processor: Any, what: str = "pairs") -> EncodedRows:
    """Rows as (chosen, rejected) encoded conversations; a pair is dropped where one side is too long.

    Raises SwiftError where no pair is left.
    """
    kept = pairs_in(job, rows)
    limit, strategy = row_limit(job, processor), training_options(job).truncation_strategy
    items, short = [], 0
    with tqdm(total=len(kept), desc=f"encoding {what}", disable=len(kept) < 512, leave=False) as bar:
        for group in batches(kept, ENCODE_TOGETHER):
            sides = [encode_some(job, list(side), processor) for side in zip(*map(sides_of, group), strict=True)]
            for row, pair in zip(group, zip(*sides, strict=True), strict=True):
                fitted = tuple(fit(side, limit, strategy, row.where) for side in pair)
                short += any(new is not old for new, old in zip(fitted, pair, strict=True))
                if None not in fitted:
                    items.append(fitted)
            bar.update(len(group))
    if short:
        job.say(f"dropped or cut {short} of {len(kept)} {what} longer than {limit} tokens")
    if not items:
        raise SwiftError(f"No {what} are left: all {len(kept)} are longer than max_length {limit}.")
    return EncodedRows(items)


def sides_of(row: Row) -> tuple[Row, Row]:
    """The chosen and the rejected conversation of a row.

    Answers that both conversations share say nothing about the preference: they are not trained.
    """
    worse = row.rejected or []
    same = 0
    while same < min(len(row.messages), len(worse)) and row.messages[same] == worse[same]:
        same += 1
    return row.with_messages(silenced(row.messages, same)), row.with_messages(silenced(worse, same))


def silenced(messages: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The messages with the answers among the first `count` not trained, unless one says `loss: true` itself."""
    shared = [{"loss": False, **m} if m["role"] == "assistant" else m for m in messages[:count]]
    return shared + messages[count:]


def _fault(row: Row) -> str | None:
    if not row.rejected:
        return "no rejected answer. Give it as rejected_response or rejected_messages."
    if row.rejected[-1]["role"] != "assistant":
        return "the last message of the rejected conversation is not the assistant's."
    if row.rejected == row.messages:
        return "the chosen and the rejected answer are the same; there is nothing to prefer."
    return None


def pairs_in(job: Job, rows: list[Row]) -> list[Row]:
    """The rows that hold a pair; others raise, or are counted and left out under `--strict false`."""
    return usable(job, rows, _fault, "a usable pair")
