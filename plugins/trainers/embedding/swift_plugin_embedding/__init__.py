"""Text embeddings: vectors of texts that belong together are drawn near, others pushed apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_plugin_runtime.options import TrainingOptions

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Embedding(TrainingOptions):
    """Text embeddings by InfoNCE (arXiv 1807.03748), contrastive loss (Hadsell et al., 2006) or cosine regression.

    Columns: query (or messages), `positive`: a text or several, `negative`: hard negatives (infonce alone),
    `label`: 1 or 0 whether the two belong together (contrastive), or how similar they are (cosine).
    """

    swift_api = 1
    needs_answer = False
    texts = 2
    capabilities = {
        "packing": Unsupported("each text has a vector of its own, read at its last token."),
        "padding_free": Unsupported("each text has a vector of its own, read at its last token."),
        "sequence": Unsupported("one token of a text is read, which one process alone would hold."),
    }

    loss_type: Literal["infonce", "contrastive", "cosine"] = option(
        "infonce", "infonce: the positive among negatives; contrastive: near or far by label; cosine: as label says."
    )
    temperature: float = option(
        0.05, "τ of InfoNCE: cosines are divided by it.", gt=0, aliases=("infonce_temperature",)
    )
    in_batch: bool = option(
        True, "InfoNCE: the other rows' texts in the batch are negatives too.", aliases=("infonce_use_batch",)
    )
    margin: float = option(0.5, "Contrastive: how far apart (in 1 - cosine) two texts must be to cost nothing.", gt=0)
    pooling: Literal["auto", "last", "mean", "first"] = option(
        "auto",
        "The vector: hidden state of the last token, the mean of all, or that of the first (encoders); auto: as the "
        "checkpoint says in 1_Pooling (sentence-transformers), else last.",
    )

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.encoding.row_filter import usable
        from swift_plugin_runtime.scoring.texts import own_pooling
        from swift_plugin_runtime.scoring.trainer import build_scoring_trainer

        if self.pooling == "auto":  # what is settled here stands in the lock, for whoever opens the checkpoint
            self.pooling = own_pooling(model) or "last"
        train = usable(job, rows, self.fault, "texts to compare")
        held = usable(job, eval_rows, self.fault, "texts to compare") if eval_rows else None
        return build_scoring_trainer(job, model, processor, train, held, self, compared)

    def fault(self, row: Any) -> str | None:
        """What is wrong with the columns of a row."""
        from swift_plugin_runtime.scoring.texts import fault_of

        from swift_core.data.values import number_of

        if self.loss_type == "infonce":
            return fault_of(row, "positive") or fault_of(row, "negative", needed=False)
        low = 0 if self.loss_type == "contrastive" else -1
        number = number_of(row.label)
        if number is None or not low <= number <= 1:
            return f"{self.loss_type} needs a column label from {low} to 1, found {row.label!r}."
        return fault_of(row, "positive", one=True)

    def items(self, batch: Any) -> int:
        """Rows in a batch."""
        return len(batch["sizes"])

    def losses(self, trainer: Any, model: Any, batch: Any) -> Any:
        """One loss per row; notes how often the positive is the nearest, or how well cosines agree."""
        from swift_plugin_runtime.scoring.texts import embed

        vectors = trainer.of_texts(batch, lambda texts: embed(model, texts, self.pooling))
        vectors = trainer.by_row(vectors, batch)
        if self.loss_type == "infonce":
            losses, first = infonce(vectors, batch["rows"], self.temperature, self.in_batch)
            trainer.log_metric("accuracy", first)
            return losses
        return pair_losses(trainer, vectors, [float(row.label) for row in batch["rows"]], self)


def compared(row: Any) -> list[Any]:
    """The texts of a row in order: the query, its positives, its hard negatives."""
    from swift_plugin_runtime.scoring.texts import text_row, texts_in

    query = row.prompt()
    others = [*texts_in(row, "positive"), *texts_in(row, "negative")]
    return [query, *(text_row(row, text) for text in others)]


def infonce(vectors: Any, rows: Any, temperature: float, in_batch: bool) -> tuple[Any, Any]:
    """(-log softmax of the positive's cosine, [rows]; whether it is the greatest). Several positives: their mean.

    vectors: per row [texts, size] of unit length, query first. in_batch: all other rows' texts are negatives.
    """
    import torch
    from swift_plugin_runtime.scoring.texts import texts_in

    losses, first = [], []
    for place, (own, row) in enumerate(zip(vectors, rows, strict=True)):
        good = len(texts_in(row, "positive"))
        others = [v[1:] for n, v in enumerate(vectors) if n != place] if in_batch else []
        cosines = torch.cat([own[1:], *others]) @ own[0] / temperature
        bad = cosines[good:].logsumexp(0) if len(cosines) > good else cosines.new_tensor(-torch.inf)
        losses.append((torch.logaddexp(cosines[:good], bad) - cosines[:good]).mean())
        first.append(
            (cosines[:good].min() >= cosines[good:].max()).float() if len(cosines) > good else cosines.new_ones(())
        )
    return torch.stack(losses), torch.stack(first)


def pair_losses(trainer: Any, vectors: Any, labels: list[float], o: Any) -> Any:
    """Contrastive: y·d² + (1 - y)·max(0, margin - d)² with d = 1 - cosine, halved; cosine: (cosine - y)²; [rows]."""
    import torch

    cosine = torch.stack([v[0] @ v[1] for v in vectors])
    label = torch.tensor(labels, device=cosine.device)
    if o.loss_type == "cosine":
        trainer.log_metric("absolute_error", (cosine - label).abs())
        return (cosine - label) ** 2
    apart = 1 - cosine
    trainer.log_metric("accuracy", ((apart < o.margin) == (label > 0.5)).float())
    return 0.5 * (label * apart**2 + (1 - label) * torch.relu(o.margin - apart) ** 2)
