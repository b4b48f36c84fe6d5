"""The columns of the SWIFT paper's Tables 6 to 11 from what the evaluator bfcl stored, beside BFCL's accuracy."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

from swift_plugin_agent_eval import Case, Step, as_step, scores

from benchmarks.bfcl.material import REFUSAL, right_calls, written
from swift_core.contract.row import Row

Json = dict[str, Any]

COLUMNS = ("Plan.EM", "Act.EM", "HalluRate", "Avg.F1", "R-L", "BFCL")


def columns(results: Path) -> dict[str, float]:
    """Column → mean over the rows of a file of results, in percent. An argument with a value that BFCL allows is right.

    R-L is over the rows that want no call: their right answer is `REFUSAL`.
    """
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    found = [{**_scores(row), "BFCL": float(row["right"])} for row in rows]
    return {name: 100 * statistics.mean([f[name] for f in found if f[name] is not None]) for name in COLUMNS}


def _scores(row: Json) -> dict[str, Any]:
    calls = right_calls(row["gold"])
    ref = Step("call", calls) if calls else Step("answer", [], REFUSAL)
    tools = [{"type": "function", "function": {"name": name}} for name in row["tools"]]
    return scores(Case(Row([], tools=tools), ref), as_step(as_right(row["calls"], row["gold"]), row["answer"]))


def as_right(calls: list[Json], ground_truth: list[Json]) -> list[Json]:
    """The calls, with values that BFCL allows written as in `right_calls`, so that they count as equal there."""
    allowed = [(written(name), arguments) for call in ground_truth for name, arguments in call.items()]
    return [{**call, "arguments": _arguments(call, allowed)} for call in calls]


def _arguments(call: Json, allowed: list[tuple[str, Json]]) -> Json:
    """Of the right calls of this function, the one that the call agrees with most."""
    same = [arguments for name, arguments in allowed if name == call["name"]]
    made = [_beside(call["arguments"], arguments) for arguments in same]
    return max(made, key=lambda pair: pair[0], default=(0, call["arguments"]))[1]


def _beside(given: Json, allowed: Json) -> tuple[int, Json]:
    """(how many arguments are right, the arguments with right ones as in `right_calls`)."""
    right = {name for name, value in given.items() if any(same(value, other) for other in allowed.get(name, []))}
    optional = {name for name in right if "" in allowed[name]}
    taken = {name: allowed[name][0] if name in right else value for name, value in given.items()}
    return len(right), {name: value for name, value in taken.items() if name not in optional}


def same(value: Any, other: Any) -> bool:
    """Whether two values are one for BFCL: texts without case and without `,./-_*^` and spaces."""
    if isinstance(value, str) and isinstance(other, str):
        return _plain(value) == _plain(other)
    if isinstance(other, dict) and isinstance(value, dict):
        return all(any(same(value.get(k, ""), v) for v in values) for k, values in other.items()) and value.keys() <= (
            other.keys()
        )
    return bool(value == other)


def _plain(text: str) -> str:
    return re.sub(r"[ ,./\-_*^]", "", text).lower().replace("'", '"')


def table(title: str, lines: dict[str, list[dict[str, float]]]) -> str:
    """A Markdown table as the paper prints them: mean ± standard deviation over the seeds."""
    head = [f"| {title} | {' | '.join(COLUMNS)} |", "| --- |" + " --- |" * len(COLUMNS)]
    body = [
        f"| {line} | {' | '.join(spread([seed[name] for seed in seeds]) for name in COLUMNS)} |"
        for line, seeds in lines.items()
    ]
    return "\n".join([*head, *body])


def spread(values: list[float]) -> str:
    """Mean ± standard deviation; the value alone where there is one."""
    return f"{statistics.mean(values):.2f}" + (f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else "")
