"""Evaluation on one's own files: multiple choice in CEval's form, or question and answer.

The columns tell which: `question, A, B, …, answer` is multiple choice, `query, response` (or any other
layout that training reads, `messages` with media and tools too) is question and answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Evaluator
from swift_core.contract.job import Job
from swift_core.data.load import raw_rows
from swift_core.evaluation.sets import EvalSet, form_of
from swift_plugin_csv import choice, qa


@dataclass(kw_only=True, eq=False)
class CsvEvaluator(Evaluator):
    """Multiple choice in CEval's form: accuracy. Question and answer files: ROUGE, BLEU, exact match."""

    swift_api = 1

    num_shots: int = option(
        0, "Multiple choice: examples asked and answered before each question, from *_dev beside *_val.", ge=0
    )
    choice_prompt: str = option(
        choice.PROMPT, "Multiple choice: the question's text, of {question}, {choices} and {letters}."
    )
    choice_line: str = option(choice.LINE, "Multiple choice: one line of {choices}, of {letter} and {text}.")

    @hookimpl
    def evaluate(self, job: Job, engine: Any, sets: list[EvalSet]) -> Iterator[dict[str, Any]]:
        tasks = [self._read(job, eval_set) for eval_set in sets]  # all of them, before the engine starts
        return (task.measure(job, engine) for task in tasks)

    def _read(self, job: Job, eval_set: EvalSet) -> Any:
        if eval_set.source is None:
            raise SwiftError(
                f"There is no file {eval_set.name!r}. Published data sets are measured by name with "
                "--evaluator evalscope; swift list benchmarks shows the names."
            )
        raw = list(raw_rows(job, eval_set.source))
        if form_of(raw, eval_set, job.options.columns) == "choice":
            return choice.read(job, eval_set, raw, self.num_shots, choice.Form(self.choice_prompt, self.choice_line))
        return qa.read(job, eval_set, raw)
