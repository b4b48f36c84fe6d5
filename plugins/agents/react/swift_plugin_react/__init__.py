"""ReAct (Yao et al., arXiv 2210.03629): thoughts, actions with JSON input, and observations as plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from swift_core import hookimpl
from swift_core.data.calls import as_call, read_json, write_json

ACTION = re.compile(r"Action:[ \t]*(?P<name>[^\n]*)\nAction Input:[ \t]*")

INTRODUCTION = """Answer the following questions as best you can. You have access to the following tools:

{tools}

Use the following format:

Question: the input question you must answer
Thought: you should always think about what to do
Action: the action to take, should be one of [{names}]
Action Input: the input to the action
Observation: the result of the action
... (this Thought/Action/Action Input/Observation can be repeated zero or more times)
Thought: I now know the final answer
Final Answer: the final answer to the original input question

Begin!
"""


@dataclass(kw_only=True, eq=False)
class React:
    """Thought, Action, Action Input (JSON) and Observation; results go on inside the assistant's turn."""

    swift_api = 1

    @hookimpl
    def write_tools(self, tools: list[dict[str, Any]], system: str) -> str:
        functions = [tool["function"] for tool in tools]
        listed = "\n\n".join(_described(f) for f in functions)
        text = INTRODUCTION.format(tools=listed, names=",".join(f["name"] for f in functions))
        return f"{system}\n\n{text}" if system else text

    @hookimpl
    def write_calls(self, calls: list[dict[str, Any]]) -> str:
        lines = [f"Action: {c['name']}\nAction Input: {write_json(c['arguments'])}\n" for c in calls]
        return "".join(lines) + "Observation:"

    @hookimpl
    def write_results(self, results: list[str]) -> tuple[str, bool]:
        return "Observation:".join(f"{result}\n" for result in results), True

    @hookimpl
    def read_calls(self, text: str) -> list[dict[str, Any]]:
        """The calls up to the first observation: what a model writes behind that, it made up."""
        calls, place = [], 0
        while match := ACTION.search(text, place):
            if calls and "Observation:" in text[place : match.start()]:
                break
            found = read_json(text, match.end())
            place = found[1] if found else match.end()
            if found:
                calls.append(as_call(match["name"].strip(), found[0]))
        return [call for call in calls if call is not None]


def _described(function: dict[str, Any]) -> str:
    name, about = function["name"], function.get("description", "")
    return (
        f"{name}: Call this tool to interact with the {name} API. What is the {name} API useful for? {about} "
        f"Parameters: {write_json(function.get('parameters', {}))} Format the arguments as a JSON object."
    )
