"""Scoring models measured on the rows that train them: the columns tell what is measured.

| columns                           | model                | metrics                                           |
|-----------------------------------|----------------------|---------------------------------------------------|
| a rejected answer                 | rm                   | accuracy of pairs, mean margin of their scores    |
| positive, negative                | reranker             | accuracy, MRR, MAP, nDCG@10 over the row's own    |
| positive, negative                | embedding            | the same, and recall@1, 5, 10, over all documents |
| positive, and a number as `label` | embedding            | Pearson and Spearman of cosine and label          |
| `label`: a class                  | seq_cls single       | accuracy, macro F1                                |
| `label`: a list of classes        | seq_cls multi        | exact match, micro and macro F1                   |
| `label`: numbers                  | seq_cls regression   | MSE, Pearson, Spearman, of all outputs together   |
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, hookimpl
from swift_core.contract.components import Evaluator
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.load import load_one
from swift_core.data.values import number_of, numbers_of
from swift_core.evaluation.reports import answer_all, write_results
from swift_core.evaluation.sets import EvalSet
from swift_plugin_scoring_eval import metrics

Numbers = dict[str, Any]
"""What an engine says of one text: `{"score"}`, `{"label"}`, `{"labels"}`, `{"values"}` or `{"embedding"}`."""


@dataclass(kw_only=True, eq=False)
class ScoringEvaluator(Evaluator):
    """Reward models, classifiers, embeddings and rerankers: accuracy, F1, correlations, MRR, MAP, nDCG, recall."""

    swift_api = 1

    @hookimpl
    def evaluate(self, job: Job, engine: Any, sets: list[EvalSet]) -> Iterator[dict[str, Any]]:
        read = [(eval_set.name, self._rows(job, eval_set)) for eval_set in sets]
        return (measure(job, engine, name, rows) for name, rows in read)

    def _rows(self, job: Job, eval_set: EvalSet) -> list[Row]:
        from swift_plugin_runtime.encoding.row_filter import usable

        if eval_set.source is None:
            raise SwiftError(f"There is no file {eval_set.name!r}; the evaluator scoring measures rows with columns.")
        rows = [_read(row) for row in load_one(job, eval_set.source, need_answer=False)[: job.options.eval_limit]]
        form = form_of(rows[0]) if rows else None
        return usable(job, rows, lambda row: fault_of(row, form), f"columns of the form {form!r}")


def _read(row: Row) -> Row:
    """The row with its label as a number, or numbers, where a table gives them as text."""
    number = number_of(row.label) if isinstance(row.label, str) else None
    several = numbers_of(row.label) if isinstance(row.label, str) and number is None else None
    label = number if number is not None else several
    return row if label is None else dataclasses.replace(row, label=label)


def form_of(row: Row) -> str | None:
    """What a row can measure: pairs, similarity, ranking or labels; None where it has none of these columns."""
    from swift_plugin_runtime.encoding.row_filter import is_number
    from swift_plugin_runtime.scoring.texts import texts_in

    if row.rejected:
        return "pairs"
    if texts_in(row, "positive"):
        return "similarity" if is_number(row.label) else "ranking"
    return None if row.label is None else "labels"


def fault_of(row: Row, form: str | None) -> str | None:
    """What is wrong with a row in a data set whose first row has this form."""
    own = form_of(row)
    if own is None:
        return "nothing to measure: give a rejected answer, positive (and negative) texts, or a label."
    return None if own == form else f"the columns are those of {own}, but the first row's are those of {form}."


def measure(job: Job, engine: Any, name: str, rows: list[Row]) -> dict[str, Any]:
    """Ask for every text; the report of one data set."""
    form = form_of(rows[0])
    ask = Asker(job, engine, name)
    figures, details = FORMS[str(form)](ask, rows)
    said = [{"where": row.where, **detail} for row, detail in zip(rows, details, strict=True)]
    return {
        "name": name,
        "metrics": figures,
        "numbers": [m for m in figures if m in ("margin", "MSE", "Pearson", "Spearman")],
        "rows": len(rows),
        "file": write_results(job, "scoring", name, said),
    }


@dataclass(frozen=True)
class Asker:
    """Asks an engine for numbers about texts."""

    job: Job
    engine: Any
    name: str

    def __call__(self, rows: list[Row], *keys: str) -> list[Numbers]:
        """What the model says of each row, each with one of `keys`; SwiftError where it is another sort of model."""
        _, replies = answer_all(self.job, self.engine, rows, self.name, whole=True)
        numbers = [read_numbers(reply.text) for reply in replies]
        if not any(key in numbers[0] for key in keys):
            wanted, gave = " or ".join(map(repr, keys)), ", ".join(numbers[0]) or "text"
            raise SwiftError(
                f"{self.name}: these columns need a model that gives {wanted}, but it gave {gave}. "
                "Measure a checkpoint of the method that these rows train."
            )
        return numbers


def read_numbers(text: str) -> Numbers:
    """A scoring engine's reply; empty where it is the answer of a model that writes."""
    try:
        numbers = json.loads(text)
    except ValueError:
        return {}
    return numbers if isinstance(numbers, dict) else {}


def pairs(ask: Asker, rows: list[Row]) -> tuple[dict[str, float], list[Numbers]]:
    """How often the better answer's score is the higher one, and by how much on average."""
    better = [n["score"] for n in ask(rows, "score")]
    worse = [n["score"] for n in ask([row.with_messages(row.rejected or []) for row in rows], "score")]
    margins = [a - b for a, b in zip(better, worse, strict=True)]
    shown = [{"chosen": a, "rejected": b} for a, b in zip(better, worse, strict=True)]
    return {"accuracy": sum(m > 0 for m in margins) / len(rows), "margin": sum(margins) / len(rows)}, shown


def labels(ask: Asker, rows: list[Row]) -> tuple[dict[str, float], list[Numbers]]:
    """Classes or numbers against the column `label`."""
    answers = ask(rows, "label", "labels", "values")
    wanted = [row.label for row in rows]
    shown = [{"wanted": label, **numbers} for label, numbers in zip(wanted, answers, strict=True)]
    if "label" in answers[0]:
        _same_sort(wanted, [n["label"] for n in answers])
        return metrics.of_classes(wanted, [n["label"] for n in answers]), shown
    if "labels" in answers[0]:
        _same_sort([v for w in wanted for v in _list(w)], [v for n in answers for v in n["labels"]])
        return metrics.of_class_sets([set(_list(w)) for w in wanted], [set(n["labels"]) for n in answers]), shown
    flat = [v for w in wanted for v in _list(w)]
    return metrics.of_numbers(flat, [v for n in answers for v in n["values"]]), shown


def _same_sort(wanted: list[Any], given: list[Any]) -> None:
    """SwiftError where names of classes would be compared with their numbers."""
    if wanted and given and {type(v) is str for v in wanted} != {type(v) is str for v in given}:
        raise SwiftError(
            f"The label {wanted[0]!r} cannot be compared with the model's {given[0]!r}: the checkpoint "
            "and the rows must both name classes, or both number them."
        )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def similarity(ask: Asker, rows: list[Row]) -> tuple[dict[str, float], list[Numbers]]:
    """How well the cosine of two texts agrees with `label`."""
    from swift_plugin_runtime.scoring.texts import text_row, texts_in

    queries = [n["embedding"] for n in ask(rows, "embedding")]
    others = [n["embedding"] for n in ask([text_row(r, texts_in(r, "positive")[0]) for r in rows], "embedding")]
    cosines = [sum(a * b for a, b in zip(q, o, strict=True)) for q, o in zip(queries, others, strict=True)]
    wanted = [row.label for row in rows]
    figures = metrics.of_numbers(wanted, cosines)
    shown = [{"wanted": w, "cosine": c} for w, c in zip(wanted, cosines, strict=True)]
    return {name: figures[name] for name in ("Pearson", "Spearman")}, shown


def ranking(ask: Asker, rows: list[Row]) -> tuple[dict[str, float], list[Numbers]]:
    """Each query's documents in the order of their scores, or all documents in the order of their cosines."""
    from swift_plugin_runtime.scoring.relevance import answered
    from swift_plugin_runtime.scoring.texts import texts_in

    documents = [[*texts_in(r, "positive"), *texts_in(r, "negative")] for r in rows]
    asked = [answered(row, text) for row, texts in zip(rows, documents, strict=True) for text in texts]
    if "embedding" in ask(asked[:1], "score", "embedding")[0]:
        return retrieval(ask, rows, documents)
    scores = iter(n["score"] for n in ask(asked, "score"))
    rankings = [
        ranked([next(scores) for _ in texts], len(texts_in(row, "positive")))
        for row, texts in zip(rows, documents, strict=True)
    ]
    return metrics.of_rankings(rankings), [{"relevant": order} for order in rankings]


def ranked(scores: list[float], good: int) -> list[bool]:
    """Relevance by place, best first, of documents of which the first `good` are relevant; ties count against them."""
    order = sorted(range(len(scores)), key=lambda n: (-scores[n], n < good))
    return [n < good for n in order]


def retrieval(ask: Asker, rows: list[Row], documents: list[list[str]]) -> tuple[dict[str, float], list[Numbers]]:
    """Every query among the documents of all rows; a document that stands in several rows is one."""
    import numpy as np
    from swift_plugin_runtime.scoring.texts import text_row, texts_in

    corpus = list(dict.fromkeys(text for texts in documents for text in texts))
    vectors = np.array([n["embedding"] for n in ask([text_row(rows[0], text) for text in corpus], "embedding")])
    cosines = np.array([n["embedding"] for n in ask(rows, "embedding")]) @ vectors.T
    rankings = []
    for row, line in zip(rows, cosines.tolist(), strict=True):
        right = set(texts_in(row, "positive"))
        order = sorted(range(len(corpus)), key=lambda n: (-line[n], corpus[n] in right))
        rankings.append([corpus[n] in right for n in order])
    recalls = {f"recall@{k}": metrics.recall(rankings, k) for k in (1, 5, 10)}
    return {**metrics.of_rankings(rankings), **recalls}, [{"first": 1 + order.index(True)} for order in rankings]


FORMS: dict[str, Callable[[Asker, list[Row]], tuple[dict[str, float], list[Numbers]]]] = {
    "pairs": pairs,
    "labels": labels,
    "similarity": similarity,
    "ranking": ranking,
}
