"""The Hermes format: schemas in the system text, calls as JSON inside `<tool_call>` tags."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from swift_core import hookimpl
from swift_core.contract.components import Agent
from swift_core.data.calls import as_call, read_json, write_json

OPEN = re.compile(r"<tool_call>\s*")
CLOSE = re.compile(r"\s*(</tool_call>|\Z)")

INTRODUCTION = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


@dataclass(kw_only=True, eq=False)
class Hermes(Agent):
    """JSON calls inside <tool_call> tags; results come back as a user turn of <tool_response> tags."""

    swift_api = 1

    @hookimpl
    def write_tools(self, tools: list[dict[str, Any]], system: str) -> str:
        text = INTRODUCTION.format(tools="\n".join(_json(tool) for tool in tools))
        return f"{system}\n\n{text}" if system else text

    @hookimpl
    def write_calls(self, calls: list[dict[str, Any]]) -> str:
        return "\n".join(f"<tool_call>\n{_json(_ordered(call))}\n</tool_call>" for call in calls)

    @hookimpl
    def write_results(self, results: list[str]) -> tuple[str, bool]:
        return "\n".join(f"<tool_response>\n{r}\n</tool_response>" for r in results), False

    @hookimpl
    def read_calls(self, text: str) -> list[dict[str, Any]]:
        calls, place = [], 0
        while match := OPEN.search(text, place):
            pair = read_json(text, match.end())
            place = pair[1] if pair else match.end()
            if pair and isinstance(pair[0], dict) and CLOSE.match(text, place):
                calls.append(as_call(pair[0].get("name"), pair[0].get("arguments", {})))
        return [call for call in calls if call is not None]


def _ordered(call: dict[str, Any]) -> dict[str, Any]:
    return {"name": call["name"], "arguments": call["arguments"]}


def _json(value: Any) -> str:
    # a closing tag inside a JSON string would end the call early for readers that look for tags;
    # the escape \/ means the same to every JSON reader
    return write_json(value).replace("</tool", "<\\/tool")
