"""How an agent format writes tools, calls and results, as pieces between which a Go template prints the values.

A format is asked to write tools, calls and results with known names in them, and cut where these stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.contract.components import Agent, declared
from swift_core.contract.errors import SwiftError
from swift_core.data.calls import write_json

if TYPE_CHECKING:
    from swift_core.contract.job import Job

SYSTEM, RESULTS, NAMES = "Sentinel system.", ("first sentinel", "second sentinel"), ("sentinel_one", "sentinel_two")
PARAMETERS = {"type": "object", "properties": {"of": {"type": "string"}}}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": name, "description": "Look.", "parameters": PARAMETERS}} for name in NAMES
]
CALLS: list[dict[str, Any]] = [{"name": name, "arguments": {"of": name}} for name in NAMES]


@dataclass(frozen=True)
class ListForm:
    """A list of values: what stands before, between and behind them."""

    before: str
    between: str
    behind: str


@dataclass(frozen=True)
class ToolForm:
    """An agent format. apart: stands between the system text, where there is one, and the tools.

    whole: tools are written as OpenAI has them, not as their inner function. call: before the name, between name and
    arguments, behind them. gap: between words and calls. beside: calls stand behind the template's answer.
    """

    apart: str
    tools: ListForm
    whole: bool
    calls: ListForm
    call: tuple[str, str, str]
    gap: str
    beside: bool
    results: ListForm


def tool_form(job: Job) -> ToolForm | None:
    """The job's agent format in pieces; None where it has none, or writes tools otherwise than as JSON."""
    if not job.many("agent"):
        return None
    agent = job.one("agent")
    try:
        bare = job.hook.write_tools(job=job, tools=TOOLS, system="")
        text = job.hook.write_tools(job=job, tools=TOOLS, system=SYSTEM)
        written = [job.hook.write_calls(job=job, calls=calls) for calls in (CALLS[:1], CALLS)]
        results, inline = job.hook.write_results(job=job, results=list(RESULTS), calls=CALLS)
    except SwiftError:
        return None
    apart, call = _apart(bare, text), _call(written[0])
    whole = all(write_json(tool) in bare for tool in TOOLS)
    tools = _list(bare, [write_json(tool if whole else tool["function"]) for tool in TOOLS])
    calls = _list(written[1], [_refilled(call, each) for each in CALLS]) if call else None
    answers = None if inline else _list(results, RESULTS)
    if apart is None or tools is None or call is None or calls is None or answers is None:
        return None
    gap, beside = declared(agent, Agent, "before_calls"), declared(agent, Agent, "beside")
    return ToolForm(apart, tools, whole, calls, call, gap, beside, answers)


def pieces_of(job: Job) -> list[str]:
    """What the job's agent format writes for the tools, calls and results named here."""
    results, _ = job.hook.write_results(job=job, results=list(RESULTS), calls=CALLS)
    return [
        job.hook.write_tools(job=job, tools=TOOLS, system=""),
        job.hook.write_calls(job=job, calls=CALLS),
        results,
    ]


def _apart(bare: str, text: str) -> str | None:
    """What stands between the system text and the tools; None where the system text does not come first."""
    if text.endswith(bare) and text.startswith(SYSTEM):
        return text[len(SYSTEM) : len(text) - len(bare)]
    return None


def _call(text: str) -> tuple[str, str, str] | None:
    """One call as text, cut at its name and its arguments."""
    arguments = write_json(CALLS[0]["arguments"])
    head, found, behind = text.partition(arguments)
    before, named, between = head.partition(NAMES[0])
    return (before, between, behind) if found and named else None


def _refilled(call: tuple[str, str, str], each: dict[str, Any]) -> str:
    return call[0] + each["name"] + call[1] + write_json(each["arguments"]) + call[2]


def _list(text: str, values: Sequence[str]) -> ListForm | None:
    """The text cut at two values that stand in it one after the other."""
    before, first, rest = text.partition(values[0])
    between, second, behind = rest.partition(values[1])
    return ListForm(before, between, behind) if first and second else None
