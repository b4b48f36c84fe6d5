"""Evaluation on one's own files: multiple choice in CEval's form, or question and answer.

The columns tell which: `question, A, B, …, answer` is multiple choice, `query, response` (or any other
layout that training reads, `messages` with media and tools too) is question and answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, hookimpl, option
from swift_core.data.convert import COLUMNS
from swift_core.data.load import raw_rows
from swift_core.evaluation import EvalSet, eval_sets
from swift_plugin_csv import choice, qa

CONVERSATIONS = ("messages", "conversations", "conversation")
NEEDED = {
    "choice": "multiple choice needs the columns question, A, B (C, D …) and answer",
    "qa": "question and answer needs the columns query and response, or messages",
}


@dataclass(kw_only=True, eq=False)
class CsvEvaluator:
    """Multiple choice in CEval's form: accuracy. Question and answer files: ROUGE, BLEU, exact match."""

    swift_api = 1

    num_shots: int = option(
        0, "Multiple choice: examples asked and answered before each question, from *_dev beside *_val.", ge=0
    )
    choice_prompt: str = option(
        choice.PROMPT, "Multiple choice: the question's text, of {question}, {choices} and {letters}."
    )

    @hookimpl
    def evaluate(self, job: Any, engine: Any) -> list[dict[str, Any]]:
        tasks = [self._read(job, found) for found in eval_sets(job)]  # all of them, before the engine starts
        return [task.measure(job, engine) for task in tasks]

    def _read(self, job: Any, found: EvalSet) -> Any:
        if found.source is None:
            raise SwiftError(
                f"There is no file {found.name!r}. Published data sets are measured by name with --evaluator evalscope."
            )
        raw = list(raw_rows(job, found.source))
        if form_of(raw, found, job.options.columns) == "choice":
            return choice.read(job, found, raw, self.num_shots, self.choice_prompt)
        return qa.read(job, found, raw)


def form_of(raw: list[dict[str, Any]], found: EvalSet, renamed: dict[str, str]) -> str:
    """`choice` or `qa` by the columns; SwiftError where they are neither, or not what the config promised."""
    if not raw:
        raise SwiftError(f"{found.source.text} holds no rows.")
    columns = {renamed.get(name, name) for row in raw for name in row} - {"_where"}
    fits = {
        "choice": {"question", "A", "B", "answer"} <= columns,
        "qa": bool(columns.intersection(CONVERSATIONS))
        or all(columns.intersection(COLUMNS[part]) for part in ("query", "response")),
    }
    wanted = [found.pattern] if found.pattern else ["choice", "qa"]
    form = next((name for name in wanted if fits[name]), None)
    if form is None:
        needs = "; ".join(NEEDED[name] for name in wanted)
        raise SwiftError(
            f"{found.source.text} has the columns {', '.join(sorted(columns))}; {needs}. "
            'Other names: --columns \'{"mine": "query"}\'.'
        )
    return form
