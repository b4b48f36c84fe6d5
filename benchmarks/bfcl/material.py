"""BFCL's rows for training and measuring: no function stands in both."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from swift_plugin_bfcl.cases import Case, read_category, written

Json = dict[str, Any]

DOMAINS = {
    "in-domain": ("simple", "multiple", "parallel", "parallel_multiple", "irrelevance"),
    "out-of-domain": ("live_simple", "live_multiple", "live_irrelevance"),
}
"""In-domain: the categories of the training rows. Out-of-domain: questions and functions that users sent in."""

REFUSAL = "None of these functions can do that."


def split(python: Path, held: int, fits: Callable[[Case], bool]) -> tuple[list[Case], dict[str, list[Case]]]:
    """(rows to train on, domain → `held` rows to measure on), the same each time. fits: which rows are short enough."""
    chance = random.Random("split")
    read = {
        category: [case for case in read_category(python, category) if fits(case)]
        for categories in DOMAINS.values()
        for category in categories
    }
    first, second = DOMAINS.values()
    groups = connected([case for category in first for case in read[category]])
    chance.shuffle(groups)
    wanted = dict.fromkeys(first, held // len(first))
    measured, left = [], []
    for group in groups:
        takes = any(wanted[case.category] > 0 for case in group)
        (measured if takes else left).extend(group)
        for case in group if takes else ():
            wanted[case.category] -= 1
    known = {name for case in left for name in functions(case)}
    others = [case for category in second for case in read[category] if known.isdisjoint(functions(case))]
    return left, {
        "in-domain": _even(measured, held, chance),
        "out-of-domain": _even(others, held, chance),
    }


def functions(case: Case) -> set[str]:
    """The names of the functions that a row offers."""
    return {function["name"] for function in case.function}


def connected(cases: list[Case]) -> list[list[Case]]:
    """The rows in groups: two that share a function, by themselves or through others, are in one group."""
    group_of: dict[str, list[Case]] = {}
    for case in cases:
        joined = [case]
        for group in {id(g): g for g in (group_of.get(name) for name in functions(case)) if g}.values():
            joined += group
        for name in {name for one in joined for name in functions(one)}:
            group_of[name] = joined
    return list({id(group): group for group in group_of.values()}.values())


def _even(cases: list[Case], count: int, chance: random.Random) -> list[Case]:
    """`count` of the rows, as evenly from the categories as they allow."""
    by_category: dict[str, list[Case]] = {}
    for case in chance.sample(cases, len(cases)):
        by_category.setdefault(case.category, []).append(case)
    taken: list[Case] = []
    while len(taken) < count and any(by_category.values()):
        taken += [rest.pop() for rest in by_category.values() if rest]
    return taken[:count]


def training_rows(cases: Iterable[Case], agent: str) -> list[Json]:
    """The rows as conversations of one round: the right calls, or why there are none. agent: react has thoughts."""
    return [
        {
            "messages": [*case.row.messages, answer(case, agent == "react")],
            "tools": [tool["function"] for tool in case.row.tools],
        }
        for case in cases
    ]


def answer(case: Case, thinks: bool) -> Json:
    """The assistant's turn."""
    calls = right_calls(case.ground_truth)
    if not calls:
        said = f"Thought: No function fits.\nFinal Answer: {REFUSAL}" if thinks else REFUSAL
        return {"role": "assistant", "content": said}
    thought = f"Thought: I need {', '.join(dict.fromkeys(call['name'] for call in calls))}."
    return {"role": "assistant", "content": thought if thinks else "", "tool_calls": calls}


def right_calls(ground_truth: list[Json]) -> list[Json]:
    """One right answer of the many that BFCL allows: the first value of each argument that may not be left out."""
    return [
        {"name": written(name), "arguments": first_of(arguments)}
        for call in ground_truth
        for name, arguments in call.items()
    ]


def first_of(arguments: Json) -> Json:
    """Argument → the first of its values; without those that may be left out: "" is among the values, or none is."""
    listed = {name: values if isinstance(values, list) else [values] for name, values in arguments.items()}
    return {name: _value(values[0]) for name, values in listed.items() if values and "" not in values}


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return first_of(value)
    return [_value(item) for item in value] if isinstance(value, list) else value


def write(file: Path, rows: Iterable[Json]) -> str:
    """The rows as JSONL; returns the path."""
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def as_file(cases: Iterable[Case]) -> list[Json]:
    """Rows to measure on in BFCL's own form, which the evaluator reads."""
    return [
        {
            "id": case.row.where,
            "question": [case.row.messages],
            "function": case.function,
            "ground_truth": case.ground_truth,
            "category": case.category,
        }
        for case in cases
    ]
