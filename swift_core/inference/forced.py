"""Tool calls that an answer must consist of, as a form in the model's own agent format.

A format is asked to write calls without arguments, `{}`: what stands before and behind is the frame of a call. That
holds for every format that writes arguments as one JSON object, whoever made it. Any other is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from swift_core.contract.engine import Guide
from swift_core.contract.errors import SwiftError
from swift_core.contract.job import Job

Tool = dict[str, Any]

EMPTY = "{}"
"""Arguments of a call that has none, in JSON."""

PROBE = {"a": 'b"', "n": [1, {"c": None}]}
"""Arguments by which a format shows that it writes and reads JSON."""


def forced_calls(job: Job, tools: list[Tool], several: bool, free: bool = False, field: str = "tool_choice") -> Guide:
    """The form of an answer that calls one of the tools, with arguments that keep to its schema.

    several: further calls may follow. free: words may come before, or instead. field: as in `Guide`. Raises SwiftError
    where the job's agent format does not write arguments as JSON.
    """
    names = [tool["function"]["name"] for tool in tools]
    schemas = [{"type": "object", **tool["function"].get("parameters", {})} for tool in tools]
    for name in names:
        _check(job, name)
    several = several and _repeats(job, names[0])
    rules: dict[str, list[list[Any]]] = {"calls": []}
    for number, (name, schema) in enumerate(zip(names, schemas, strict=True)):
        opened, closed = _frame(job, [name])
        rules["calls"].append([opened, schema, f"after{number}"])
        rules[f"after{number}"] = [[closed], *(_next(job, name, names, schemas) if several else [])]
    opener = _opener(job) if free else ""
    if free and not opener:
        raise SwiftError(
            "Tool calls cannot be held to a schema: the agent format opens them with no mark of their own."
        )
    return Guide("calls", json.dumps({"opener": opener, "rules": rules}), field=field)


def _next(job: Job, name: str, names: list[str], schemas: list[Any]) -> Iterable[list[Any]]:
    """The ways on to a further call."""
    for number, (other, schema) in enumerate(zip(names, schemas, strict=True)):
        yield [_frame(job, [name, other])[1], schema, f"after{number}"]


def _opener(job: Job) -> str:
    """What any call begins with, up to its name: where a text says so, a call must follow."""
    one, other = (_frame(job, [name])[0] for name in ("a", "b"))
    same = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    return one[:same]


def _written(job: Job, names: list[str], arguments: Any) -> str:
    text = job.hook.write_calls(job=job, calls=[{"name": name, "arguments": arguments} for name in names])
    if text is None:
        raise SwiftError("Tool calls cannot be forced: the model's chat template has no agent format that is known.")
    return str(text)


def _frame(job: Job, names: list[str]) -> list[str]:
    """What stands before, between and behind the arguments of calls. SwiftError where they are no JSON objects."""
    pieces = _written(job, names, {}).split(EMPTY)
    if len(pieces) != len(names) + 1:
        raise _refusal(job)
    return pieces


def _check(job: Job, name: str) -> None:
    """SwiftError where a call's arguments are written as anything but JSON, or are not read back."""
    opened, closed = _frame(job, [name])
    text = _written(job, [name], PROBE)
    said = text[len(opened) : len(text) - len(closed)]
    framed = text.startswith(opened) and text.endswith(closed) and _is_probe(said)
    if not framed or job.hook.read_calls(job=job, text=text) != [{"name": name, "arguments": PROBE}]:
        raise _refusal(job)


def _is_probe(text: str) -> bool:
    try:
        return bool(json.loads(text) == PROBE)
    except ValueError:
        return False


def _repeats(job: Job, name: str) -> bool:
    """Whether a third call follows the second as that one the first; a format that numbers its calls does not."""
    before, between, behind = _frame(job, [name] * 2)
    one = _frame(job, [name])
    return [before, behind] == one and _frame(job, [name] * 3) == [before, between, between, behind]


def _refusal(job: Job) -> SwiftError:
    agents = job.many("agent")
    name = f" {agents[0].entry.name!r}" if agents else ""
    return SwiftError(f"Tool calls cannot be forced: the agent format{name} does not write arguments as JSON.")
