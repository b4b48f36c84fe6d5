"""Rewards for agents: whether an answer has the form of a ReAct step, and whether it does what the reference does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Reward
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.evaluation.metrics import f1, rouge_l

Call = dict[str, Any]

STEP = r"<think>(?:(?!</?think>).)*</think>\s*Action:[ \t]*\S[^\n]*\n\s*Action Input:[ \t]*\S.*"
"""A thought in its tags, then a tool and its input."""

FINAL_ANSWER = "Final Answer:"


@dataclass(kw_only=True, eq=False)
class ReactFormat(Reward):
    """1 where the whole answer is a thought in <think> tags, an Action and an Action Input, else 0."""

    swift_api = 1

    react_pattern: re.Pattern[str] = option(
        re.compile(STEP, re.DOTALL), "Regular expression of the whole answer, without white space around it."
    )

    @hookimpl
    def score(self, completions: list[str]) -> list[float]:
        return [float(self.react_pattern.fullmatch(text.strip()) is not None) for text in completions]


@dataclass(kw_only=True, eq=False)
class ToolBench(Reward):
    """What a step has in common with the reference: tools and arguments of its calls, or its final answer.

    The reference is the row's column `solution`, or its own last answer. Where it calls tools: 1/2 for the same tools
    in the same order, and 1/2 of the mean F1 of the arguments of calls that stand at one place and name one tool,
    over as many places as either has; an argument counts where name and value are equal. Where it answers: ROUGE-L of
    the final answers. 0 where one calls and the other does not.
    """

    swift_api = 1

    solution_column: str = option("solution", "Column that holds the reference; without it, the row's own answer.")

    @hookimpl
    def score(self, job: Job, rows: list[Row], completions: list[str]) -> list[float]:
        return [self.common(job, row, text) for row, text in zip(rows, completions, strict=True)]

    def common(self, job: Job, row: Row, text: str) -> float:
        """The reward of one completion."""
        wanted_calls, wanted = self.reference(job, row)
        calls = read_calls(job, text)
        if bool(wanted_calls) != bool(calls):
            return 0.0
        if not calls:
            return rouge_l(final_answer(wanted), final_answer(text))
        same = [c["name"] for c in calls] == [c["name"] for c in wanted_calls]
        return (same + arguments_f1(wanted_calls, calls)) / 2

    def reference(self, job: Job, row: Row) -> tuple[list[Call], str]:
        """(calls, text) of the reference; SwiftError where the row has none."""
        column = row.extra.get(self.solution_column)
        last = row.messages[-1] if row.messages and row.messages[-1]["role"] == "assistant" else {}
        text = str(last.get("content") or "") if column is None else str(column)
        calls = (last.get("tool_calls") if column is None else None) or read_calls(job, text)
        if not calls and not text.strip():
            raise SwiftError(f"{row.where}: toolbench needs a reference, in a column {self.solution_column!r}.")
        return calls, text


def read_calls(job: Job, text: str) -> list[Call]:
    """The calls of a text, by the job's agent format. Raises SwiftError where the job has none."""
    if not job.many("agent"):
        raise SwiftError(
            "toolbench reads calls: say --agent NAME (swift list agents), toolbench or react for its own form."
        )
    return job.hook.read_calls(job=job, text=text)


def final_answer(text: str) -> str:
    """What stands behind the last `Final Answer:`, else the whole text."""
    return text.rpartition(FINAL_ANSWER)[2].strip()


def arguments_f1(wanted: list[Call], calls: list[Call]) -> float:
    """The mean F1 of arguments, a place without a call of the same tool counting 0."""
    pairs = zip(wanted, calls, strict=False)
    scores = [_f1(a["arguments"], b["arguments"]) for a, b in pairs if a["name"] == b["name"]]
    return sum(scores) / max(len(wanted), len(calls))


def _f1(wanted: dict[str, Any], given: dict[str, Any]) -> float:
    if not wanted:
        return float(not given)
    shared = sum(1 for key, value in wanted.items() if key in given and given[key] == value)
    return f1(shared, len(wanted), len(given))
