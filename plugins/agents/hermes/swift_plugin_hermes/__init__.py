"""The Hermes format: schemas in the system text, calls as JSON inside `<tool_call>` tags."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from swift_core import hookimpl

CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)

INTRODUCTION = """

# Tools

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
class Hermes:
    """JSON calls inside <tool_call> tags; results come back as a user turn of <tool_response> tags."""

    swift_api = 1

    @hookimpl
    def write_tools(self, tools: list[dict[str, Any]], system: str) -> str:
        return system + INTRODUCTION.format(tools="\n".join(_json(tool) for tool in tools))

    @hookimpl
    def write_calls(self, calls: list[dict[str, Any]]) -> str:
        return "\n".join(f"<tool_call>\n{_json(call)}\n</tool_call>" for call in calls)

    @hookimpl
    def write_results(self, results: list[str]) -> tuple[str, bool]:
        return "\n".join(f"<tool_response>\n{r}\n</tool_response>" for r in results), False

    @hookimpl
    def read_calls(self, text: str) -> list[dict[str, Any]]:
        found = (_call(m.group(1)) for m in CALL.finditer(text))
        return [call for call in found if call is not None]


def _json(value: Any) -> str:
    # "<" inside a JSON string could end the tag early; its escape means the same to any JSON reader
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/")


def _call(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return None
    if not isinstance(found, dict) or "name" not in found:
        return None
    return {"name": found["name"], "arguments": found.get("arguments", {})}
