"""Learning scores and vectors of whole texts: rows as groups of encoded texts, and the trainer that all such share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from tqdm import tqdm

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.load import batches
from swift_plugin_runtime.alignment.laying import choose_join
from swift_plugin_runtime.alignment.reference import AlignmentTrainer
from swift_plugin_runtime.batching.lending import refuse_media_where_split
from swift_plugin_runtime.batching.shared_rows import Join, PaddedRows, called
from swift_plugin_runtime.encoding.datasets import ENCODE_TOGETHER, EncodedRows, encoded_by, row_limit
from swift_plugin_runtime.loading.heads import heads_in
from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.loading.positions import longest_text
from swift_plugin_runtime.loading.processor import pad_id_of
from swift_plugin_runtime.options import training_options
from swift_plugin_runtime.scoring.parts import in_parts
from swift_plugin_runtime.training.arguments import build_arguments


@dataclass(frozen=True)
class Group:
    """One row: its texts, encoded (one to classify; a better and a worse one; a query and documents …)."""

    row: Row
    texts: list[dict[str, Any]]


def encode_groups(
    job: Job,
    rows: list[Row],
    processor: Any,
    texts: Callable[[Row], list[Row]],
    what: str,
    asked: bool = False,
    places: int | None = None,
) -> EncodedRows:
    """A `Group` per row; one with a text over max_length is dropped, cut or an error by --truncation_strategy.

    asked: the texts are questions, encoded up to where the answer begins. places: most tokens that the model can read,
    None where there is no end. Raises SwiftError where no row is left.
    """
    limit = min(filter(None, (row_limit(job, processor), places)), default=None)
    items, short = [], 0
    with tqdm(total=len(rows), desc=f"encoding {what}", disable=len(rows) < 512, leave=False) as bar:
        for part in batches(rows, ENCODE_TOGETHER):
            for row, encoded in zip(part, _encode(job, [texts(row) for row in part], processor, asked), strict=True):
                fitted = [_fit(item, limit, training_options(job).truncation_strategy, row.where) for item in encoded]
                short += any(new is not old for new, old in zip(fitted, encoded, strict=True))
                kept = [item for item in fitted if item is not None]
                if len(kept) == len(fitted):
                    items.append(Group(row, kept))
            bar.update(len(part))
    if short:
        job.say(f"dropped or cut {short} of {len(rows)} {what} longer than {limit} tokens")
    if not items:
        raise SwiftError(f"No {what} are left: all {len(rows)} are longer than max_length {limit}.")
    return EncodedRows(items)


def _encode(job: Job, groups: list[list[Row]], processor: Any, asked: bool) -> list[list[dict[str, Any]]]:
    """Each group's texts as model inputs; which tokens an answer has does not matter here."""
    flat = [row for group in groups for row in group]
    encoded = iter(encoded_by(job, flat, processor, generation=asked))
    apart = ("labels", "loss_scale")
    return [[{k: v for k, v in next(encoded).items() if k not in apart} for _ in group] for group in groups]


def _fit(item: dict[str, Any], limit: int | None, strategy: str, where: str) -> dict[str, Any] | None:
    """The text itself where it is short enough; cut, None (dropped) or an error by `strategy` where not."""
    length = len(item["input_ids"])
    if limit is None or length <= limit:
        return item
    if strategy == "raise":
        raise SwiftError(f"{where}: {length} tokens, more than max_length {limit}. Raise it, or cut or delete rows.")
    if strategy == "delete" or any(isinstance(v, torch.Tensor) for v in item.values()):
        return None  # a cut through an image would leave features without their tokens
    window = slice(length - limit, None) if strategy == "left" else slice(0, limit)
    return {k: v[window] if isinstance(v, list) and len(v) == length else v for k, v in item.items()}


class ScoringTrainer(AlignmentTrainer):
    """Trains on batches `{"texts": model inputs, or those of parts, "sizes": texts per row, "rows": the rows}`.

    A method supplies `items(batch)`, how many things its loss is a mean over, and `losses(trainer, model, batch)`,
    one loss for each of them; it may note figures on the trainer.
    """

    answers = False

    def __init__(self, job: Job, processor: Any, method: Any, **arguments: Any):
        super().__init__(job, processor, None, **arguments)
        self.method = method

    def count_items(self, batch: dict[str, Any]) -> int:
        """As the method counts."""
        return self.method.items(batch)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean of the method's losses over the accumulated batch, on all ranks."""
        losses = self.method.losses(self, model, inputs)
        if num_items_in_batch is None:
            loss = losses.mean()
        else:  # the ranks' gradients are averaged afterwards, so each gives its sum times their number
            loss = losses.sum() / num_items_in_batch * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss

    def of_texts(self, batch: dict[str, Any], read: Callable[[dict[str, Any]], torch.Tensor]) -> torch.Tensor:
        """What `read` makes of model inputs, [texts, …], for all texts of a batch in their order."""
        texts = batch["texts"]
        if "parts" not in texts:
            return read(texts)
        return torch.cat([read(part) for part in texts["parts"].values()])[texts["places"]]

    def scores(self, model: Any, batch: dict[str, Any]) -> torch.Tensor:
        """What the head says of each text, [texts, labels], in float32."""
        return self.of_texts(batch, lambda texts: self._scores(model, texts))

    def _scores(self, model: Any, texts: dict[str, Any]) -> torch.Tensor:
        inputs = dict(texts)
        layout = inputs.pop("layout", None)
        if layout is None:
            return model(**inputs, use_cache=False).logits.float()
        told: list[torch.Tensor] = []
        head = base_of(model).get_submodule(heads_in(base_of(model))[0])
        handle = head.register_forward_hook(lambda _, __, output: told.append(output))
        try:
            called(model, inputs, layout)
        finally:
            handle.remove()
        last = layout.places.amax(1)  # places rise along a row, and stand at 0 behind its end
        return told[0][0, last].float()

    def by_row(self, values: torch.Tensor, batch: dict[str, Any]) -> tuple[torch.Tensor, ...]:
        """Values of texts [texts, …] split into those of each row."""
        return values.split(batch["sizes"])


def build_scoring_trainer(
    job: Job,
    model: Any,
    processor: Any,
    rows: list[Row],
    eval_rows: list[Row] | None,
    method: Any,
    texts: Callable[[Row], list[Row]],
    asked: bool = False,
) -> ScoringTrainer:
    """The trainer of a method over whole texts. texts: the conversations of a row that are scored, in order.

    asked: they are questions, encoded up to where the answer begins.
    """
    refuse_media_where_split(job, rows)
    places = longest_text(model, job.options.max_length)
    train = encode_groups(job, rows, processor, texts, "training rows", asked, places)
    held = encode_groups(job, eval_rows, processor, texts, "evaluation rows", asked, places) if eval_rows else None
    # heads find the last token of a text as the last that is not padding
    model.config.get_text_config().pad_token_id = pad_id_of(processor)
    join = _join(job, model, processor, rows)

    def collate(groups: list[Group]) -> dict[str, Any]:
        sizes, texts = [len(group.texts) for group in groups], [text for group in groups for text in group.texts]
        alike = [range(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]
        return {
            "count": torch.arange(len(groups)),  # by the first tensor the rows of evaluation batches are counted
            "texts": in_parts(texts, join) if isinstance(join, PaddedRows) else join(texts, alike),
            "sizes": sizes,
            "rows": [group.row for group in groups],
        }

    return ScoringTrainer(
        job,
        processor,
        method,
        model=model,
        args=build_arguments(job, eval_strategy=training_options(job).save_strategy if held else "no"),
        train_dataset=train,
        eval_dataset=held,
        data_collator=collate,
    )


def _join(job: Job, model: Any, processor: Any, rows: list[Row]) -> Join:
    """How the texts of a batch are laid out: padded for methods that say so, and where a head is no linear layer."""
    if job.objection("padding_free") or not heads_in(base_of(model)):
        return PaddedRows(pad_id_of(processor))
    return choose_join(job, model, processor, rows)
