"""Question and answer: ROUGE, BLEU and exact match against the answer that the row brings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from swift_core.contract.engine import Reply, Request
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.load import as_row, convert_all
from swift_core.evaluation.metrics import bleu, exact_match, rouge_l, rouge_n
from swift_core.evaluation.reports import answer_all, mean, write_results
from swift_core.evaluation.sets import EvalSet

PER_ROW = ("exact_match", "rouge-1", "rouge-2", "rouge-l")


@dataclass(frozen=True)
class QaSet:
    """The rows of one data set; the last assistant turn of each is the reference."""

    name: str
    rows: list[Row]

    def measure(self, job: Job, engine: Any) -> dict[str, Any]:
        """Ask every question; ROUGE F1 and exact match are means over rows, BLEU is the corpus's."""
        requests, replies = answer_all(job, engine, self.rows, self.name)
        results = [_result(*triple) for triple in zip(self.rows, requests, replies, strict=True)]
        score, signature = bleu([_gold(row) for row in self.rows], [after_thinking(r["answer"]) for r in results])
        return {
            "name": self.name,
            "metrics": {name: mean(r[name] for r in results) for name in PER_ROW} | {"bleu": score},
            "rows": len(results),
            "file": write_results(job, "csv", self.name, results),
            "bleu_signature": signature,
        }


def read(job: Job, eval_set: EvalSet, raw: Iterable[dict[str, Any]]) -> QaSet:
    """The rows of a data set, as training reads them; SwiftError with file:line for a bad one."""
    source = eval_set.source_of_rows
    rows = convert_all(job, source, raw, lambda row: as_row(job, row, source, need_answer=True))
    return QaSet(eval_set.name, rows[: job.options.eval_limit])


def after_thinking(text: str) -> str:
    """The text behind the last `</think>`."""
    return text.rpartition("</think>")[2].strip()


def _gold(row: Row) -> str:
    return after_thinking(row.answer)


def _result(row: Row, request: Request, reply: Reply) -> dict[str, Any]:
    gold, said = _gold(row), after_thinking(reply.text)
    return {
        "where": row.where,
        "prompt": request.row.messages,
        "answer": reply.text,
        "gold": gold,
        "exact_match": exact_match(gold, said),
        "rouge-1": rouge_n(gold, said, 1),
        "rouge-2": rouge_n(gold, said, 2),
        "rouge-l": rouge_l(gold, said),
    }
