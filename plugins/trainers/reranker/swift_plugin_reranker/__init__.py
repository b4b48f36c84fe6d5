"""Rerankers: one score for a query and a document read together, higher where the document answers the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from swift_plugin_runtime.options import TrainingOptions

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Reranker(TrainingOptions):
    """Reranker (arXiv 1901.04085): scores query and document together, pointwise or listwise.

    Columns: query (or messages), `positive`: documents that answer it, `negative`: documents that do not. The
    document stands as the answer to the query, and the score is read at its end.
    """

    swift_api = 1
    task: ClassVar[str] = "reranker"
    num_labels: ClassVar[int | None] = 1
    texts = 2
    needs_answer = False
    capabilities = {
        "packing": Unsupported("each document is scored by itself, at its last token."),
        "padding_free": Unsupported("each document is scored by itself, at its last token."),
        "sequence": Unsupported("one token of a text is read, which one process alone would hold."),
    }

    loss_type: Literal["pointwise", "listwise"] = option(
        "pointwise", "Each document right or wrong by itself, or each positive against the row's negatives."
    )
    temperature: float = option(1.0, "τ of the listwise softmax.", gt=0)
    positive_weight: float = option(1.0, "Weight of positives in the pointwise loss.", gt=0)

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.encoding.row_filter import usable
        from swift_plugin_runtime.scoring.trainer import build_scoring_trainer

        train = usable(job, rows, self.fault, "documents to rank")
        held = usable(job, eval_rows, self.fault, "documents to rank") if eval_rows else None
        return build_scoring_trainer(job, model, processor, train, held, self, documents)

    def scores(self, trainer: Any, model: Any, batch: Any) -> Any:
        """The head's number for each document, [documents]."""
        return trainer.scores(model, batch)[:, 0]

    def fault(self, row: Any) -> str | None:
        """What is wrong with the columns of a row: listwise needs both sides, pointwise either."""
        from swift_plugin_runtime.scoring.texts import fault_of, texts_in

        both = self.loss_type == "listwise"
        problem = fault_of(row, "positive", needed=both) or fault_of(row, "negative", needed=both)
        if not problem and not (texts_in(row, "positive") or texts_in(row, "negative")):
            problem = "needs documents in the columns positive and negative, found none."
        return problem

    def items(self, batch: Any) -> int:
        """Documents in a batch, or under listwise positives."""
        from swift_plugin_runtime.scoring.texts import texts_in

        return sum(len(texts_in(r, "positive")) if self.loss_type == "listwise" else size_of(r) for r in batch["rows"])

    def losses(self, trainer: Any, model: Any, batch: Any) -> Any:
        """One loss per document (pointwise) or positive (listwise); notes the rank of the first positive."""
        import torch
        from swift_plugin_runtime.scoring.texts import texts_in

        scores = trainer.by_row(self.scores(trainer, model, batch), batch)
        split = [len(texts_in(row, "positive")) for row in batch["rows"]]
        sides = [(s[:n], s[n:]) for s, n in zip(scores, split, strict=True)]
        for good, bad in sides:
            if len(good) and len(bad):
                rank = 1 + (bad > good.max()).sum()
                trainer.log_metric("mrr", 1 / rank[None])
                trainer.log_metric("accuracy", (rank == 1).float()[None])
        if self.loss_type == "listwise":
            return torch.cat([listwise(good, bad, self.temperature) for good, bad in sides])
        return torch.cat([pointwise(good, bad, self.positive_weight) for good, bad in sides])


@dataclass(kw_only=True, eq=False)
class GenerativeReranker(Reranker):
    """Reranker that says yes or no (Qwen3 Reranker, arXiv 2506.05176): a language model, and the odds of its yes.

    Columns as for `reranker`. Query and document stand in one question; no head is added, so that the checkpoint
    stays a language model. The loss is that of `reranker` on log p(yes) - log p(no) at the answer's first token.
    """

    task: ClassVar[str] = "generative_reranker"
    num_labels: ClassVar[int | None] = None

    positive_token: str = option("yes", "What the model answers where the document fits: one token.")
    negative_token: str = option("no", "What it answers where it does not: one token.")
    instruction: str = option(
        "Given a web search query, retrieve relevant passages that answer the query", "What a document is sought for."
    )
    prompt: str = option(
        "<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}",
        "The question, of {instruction}, {query} and {document}.",
    )

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.encoding.row_filter import usable
        from swift_plugin_runtime.loading.processor import tokenizer_of
        from swift_plugin_runtime.scoring.relevance import Judge
        from swift_plugin_runtime.scoring.trainer import build_scoring_trainer

        words = self.positive_token, self.negative_token
        self.judge = Judge.of(tokenizer_of(processor), *words, prompt=self.prompt, instruction=self.instruction)
        train = usable(job, rows, self.fault, "documents to rank")
        held = usable(job, eval_rows, self.fault, "documents to rank") if eval_rows else None
        return build_scoring_trainer(job, model, processor, train, held, self, self.questions, asked=True)

    def questions(self, row: Any) -> list[Any]:
        """The row's documents, positives first, each in a question about it."""
        return [self.judge.question(one) for one in documents(row)]

    def scores(self, trainer: Any, model: Any, batch: Any) -> Any:
        """log p(yes) - log p(no) of each document, [documents]."""
        return trainer.of_texts(batch, lambda texts: self.judge.scores(model, texts))[:, 0]


def documents(row: Any) -> list[Any]:
    """The row's documents, positives first, each as the answer to the query."""
    from swift_plugin_runtime.scoring.relevance import answered
    from swift_plugin_runtime.scoring.texts import texts_in

    return [answered(row, text) for text in [*texts_in(row, "positive"), *texts_in(row, "negative")]]


def size_of(row: Any) -> int:
    """How many documents a row has."""
    from swift_plugin_runtime.scoring.texts import texts_in

    return len(texts_in(row, "positive")) + len(texts_in(row, "negative"))


def pointwise(good: Any, bad: Any, weight: float = 1.0) -> Any:
    """Binary cross-entropy of each document's score, [documents]."""
    import torch
    from torch.nn.functional import logsigmoid

    return torch.cat([-weight * logsigmoid(good), -logsigmoid(-bad)])


def listwise(good: Any, bad: Any, temperature: float = 1.0) -> Any:
    """-log softmax of each positive among itself and the negatives, [positives]."""
    import torch

    good, bad = good / temperature, (bad / temperature).logsumexp(0)
    return torch.logaddexp(good, bad) - good
