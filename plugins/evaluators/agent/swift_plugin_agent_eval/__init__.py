"""Tool calls measured step by step, as ToolBench-Static does (Qin et al., arXiv 2307.16789; SWIFT, Tables 6-11).

Every assistant turn of a row is one step: the model sees the row's own conversation up to there and says
what comes next. No tool is run. With `ref` the row's turn and `pred` the model's:

| metric    | over          | value of one step                                                          |
|-----------|---------------|----------------------------------------------------------------------------|
| Plan.EM   | all steps     | 1 if pred decides as ref does: to call a tool, to answer, or to give up     |
| Act.EM    | ref calls     | 1 if pred calls the same tools by name, in the same order                   |
| HalluRate | all steps     | 1 if pred calls a tool that the row does not offer (less is better)         |
| Avg.F1    | ref calls     | F1 of the arguments, see `arguments_f1`; 0 where another tool is called     |
| R-L       | ref answers   | ROUGE-L F1 of the final answer; 0 where pred does not answer                |

A metric is the mean over its steps, and absent from a data set that has none. ToolBench's own tool `Finish`
counts as an answer (`give_answer`) or as giving up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Literal

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Evaluator
from swift_core.contract.engine import Reply
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.load import as_row, convert_all, raw_rows
from swift_core.evaluation.metrics import f1, rouge_l
from swift_core.evaluation.reports import answer_all, mean, write_results
from swift_core.evaluation.sets import EvalSet

Call = dict[str, Any]

FINISH = "Finish"
FINAL_ANSWER = "Final Answer:"


@dataclass(kw_only=True, eq=False)
class AgentEvaluator(Evaluator):
    """Tool calls, ToolBench style: Plan.EM, Act.EM, HalluRate, Avg.F1 and ROUGE-L of each assistant turn."""

    swift_api = 1

    steps: Literal["all", "last"] = option("all", "Which assistant turns of a row are measured.")

    @hookimpl
    def evaluate(self, job: Job, engine: Any, sets: list[EvalSet]) -> Iterator[dict[str, Any]]:
        read = [(eval_set.name, self._cases(job, eval_set)) for eval_set in sets]
        return (measure(job, engine, name, cases) for name, cases in read)

    def _cases(self, job: Job, eval_set: EvalSet) -> list[Case]:
        source = eval_set.source
        if source is None:
            raise SwiftError(f"There is no file {eval_set.name!r}; the evaluator agent measures rows with tools.")
        rows = convert_all(
            job,
            source,
            raw_rows(job, source),
            lambda raw: _cases_of(job, as_row(job, raw, source, need_answer=True)),
        )
        return [case for cases in rows[: job.options.eval_limit] for case in cases[-1 if self.steps == "last" else 0 :]]


@dataclass(frozen=True)
class Step:
    """What one turn does. plan: call, answer or give up. calls: as `read_calls` gives them."""

    plan: str
    calls: list[Call] = field(default_factory=list)
    answer: str = ""

    @property
    def names(self) -> list[str]:
        """The tools called, in order."""
        return [call["name"] for call in self.calls]


@dataclass(frozen=True)
class Case:
    """One step to be taken: the row up to the turn that is measured, and what that turn does."""

    row: Row
    ref: Step

    @property
    def tools(self) -> set[str]:
        """The names of the tools on offer."""
        return {tool["function"]["name"] for tool in self.row.tools}


def as_step(calls: list[Call], text: str) -> Step:
    """A turn's calls and text as a step; ToolBench's Finish is an answer or a surrender, not a call."""
    if calls and calls[0]["name"] == FINISH:
        said = calls[0]["arguments"]
        gives = said.get("return_type") == "give_answer"
        return Step("answer", calls, str(said.get("final_answer", ""))) if gives else Step("give up", calls)
    if calls:
        return Step("call", calls)
    return Step("answer", [], text.rpartition(FINAL_ANSWER)[2].strip())


def scores(case: Case, pred: Step) -> dict[str, float | None]:
    """The metrics of one step; None where a metric does not apply to it."""
    calls, answers = case.ref.plan == "call", case.ref.plan == "answer"
    return {
        "Plan.EM": float(pred.plan == case.ref.plan),
        "Act.EM": float(pred.plan == "call" and pred.names == case.ref.names) if calls else None,
        "HalluRate": float(not case.tools.issuperset(pred.names)),
        "Avg.F1": calls_f1(case.ref.calls, pred.calls) if calls else None,
        "R-L": rouge_l(case.ref.answer, pred.answer) if answers else None,
    }


def calls_f1(ref: list[Call], pred: list[Call]) -> float:
    """The mean of `arguments_f1` over the calls in their order; a missing or surplus call counts 0."""
    pairs = list(zip_longest(ref, pred))
    return sum(arguments_f1(*pair) for pair in pairs) / len(pairs)


def arguments_f1(ref: Call | None, pred: Call | None) -> float:
    """F1 of the arguments of two calls of one tool: an equal value counts 1, a right name with another value 1/2.

    Precision is over pred's arguments, recall over ref's; two calls without arguments are equal.
    """
    if ref is None or pred is None or ref["name"] != pred["name"]:
        return 0.0
    wanted, given = ref["arguments"], pred["arguments"]
    if not wanted:
        return float(not given)
    matched = sum((1.0 if given[k] == v else 0.5) for k, v in wanted.items() if k in given)
    return f1(matched, len(wanted), len(given))


def measure(job: Job, engine: Any, name: str, cases: list[Case]) -> dict[str, Any]:
    """Ask for every step; the report of one data set."""
    requests, replies = answer_all(job, engine, [case.row for case in cases], name)
    results = [
        _result(job, case, request.row.messages, reply)
        for case, request, reply in zip(cases, requests, replies, strict=True)
    ]
    metrics = {m: mean(r["scores"][m] for r in results) for m in results[0]["scores"]}
    return {
        "name": name,
        "metrics": {m: value for m, value in metrics.items() if value is not None},
        "rows": len(results),
        "file": write_results(job, "agent", name, results),
    }


def _result(job: Job, case: Case, prompt: list[dict[str, Any]], reply: Reply) -> dict[str, Any]:
    pred = as_step(reply.calls or _read_calls(job, reply.text), reply.text)
    return {
        "where": case.row.where,
        "prompt": prompt,
        "tools": sorted(case.tools),
        "answer": reply.text,
        "calls": pred.calls,
        "gold": dataclasses.asdict(case.ref),
        "scores": scores(case, pred),
    }


def _read_calls(job: Job, text: str) -> list[Call]:
    return job.hook.read_calls(job=job, text=text) or []


def _cases_of(job: Job, row: Row) -> list[Case]:
    """The steps of one row; SwiftError where it offers no tools, or calls one that it does not offer."""
    if not row.tools:
        raise SwiftError(f"{row.where}: the row has no tools; the evaluator agent measures rows with tools.")
    cases = []
    for place, message in enumerate(row.messages):
        if message["role"] == "assistant" and message.get("loss", True):
            text = message.get("content") or ""
            calls = message.get("tool_calls") or _read_calls(job, text)
            cases.append(Case(_up_to(row, place), as_step(calls, text)))
    for case in cases:
        unknown = set(case.ref.names) - case.tools - {FINISH}
        if unknown:
            raise SwiftError(f"{row.where}: the row calls {', '.join(sorted(unknown))}, which its tools do not hold.")
    return cases


def _up_to(row: Row, place: int) -> Row:
    """The row up to and with message `place`, and the media that stand there."""
    messages = row.messages[: place + 1]
    text = "".join(m.get("content") or "" for m in messages)
    media: dict[str, Any] = {f"{kind}s": values[: text.count(f"<{kind}>")] for kind, values in row.media.items()}
    return dataclasses.replace(row, messages=messages, where=f"{row.where}, message {place + 1}", **media)
