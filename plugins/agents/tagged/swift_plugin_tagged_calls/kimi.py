"""Kimi K3: elements that name the type of each value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from swift_core import hookimpl
from swift_core.data.calls import as_call, escaped, read_name, read_value, write_json, write_name
from swift_plugin_tagged_calls.base import NAME, Call, Tagged, Tool

KINDS = {str: "string", bool: "boolean", int: "number", float: "number", dict: "object", list: "array"}


K3_CALL = re.compile(rf'<\|open\|>call tool="{NAME}" index="\d+"<\|sep\|>(.*?)<\|close\|>call<\|sep\|>', re.DOTALL)
K3_ARGUMENT = re.compile(
    r'<\|open\|>argument key="([^"]*)" type="(\w+)"<\|sep\|>(.*?)<\|close\|>argument<\|sep\|>', re.DOTALL
)


class KimiK3(Tagged):
    """Kimi K3: calls and arguments as <|open|>…<|close|> elements that name the type of each value."""

    beside = True
    before_calls = ""

    @hookimpl
    def write_tools(self, tools: list[Tool], system: str) -> str:
        """Two messages: the tools, and the system text if there is one. The template writes what is around them."""
        listed = json.dumps(tools, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        text = (
            'role="system" type="tool-declare"<|sep|># Tools\nHere are the available tools, described in JSONSchema.'
            f"\n\n```json\n{listed}\n```"
        )
        follows = '<|close|>message<|sep|><|end_of_msg|><|open|>message role="system"<|sep|>'
        return text + (follows + system if system else "")

    @hookimpl
    def write_calls(self, calls: list[Call]) -> str:
        written = ""
        for number, call in enumerate(calls, 1):
            inside = "".join(self.argument(k, v) for k, v in call["arguments"].items())
            opened = f'<|open|>call tool="{write_name(call["name"])}" index="{number}"<|sep|>'
            written += f"{opened}{inside}<|close|>call<|sep|>"
        return f"<|open|>tools<|sep|>{written}<|close|>tools<|sep|>"

    @hookimpl
    def write_results(self, results: list[str], calls: list[Call]) -> tuple[str, bool]:
        names = [write_name(call["name"]) for call in calls]
        written = [
            f'tool="{name}" index="{number}"<|sep|>{result}'
            for number, (name, result) in enumerate(
                zip([*names, *["unknown"] * len(results)], results, strict=False), 1
            )
        ]
        return '<|close|>message<|sep|><|end_of_msg|><|open|>message role="tool" '.join(written), False

    def argument(self, key: str, value: Any) -> str:
        """The type `json` is ours, for texts that hold an end."""
        kind = "null" if value is None else KINDS.get(type(value), "json")
        kind = "json" if kind == "string" and "<|close|>" in value else kind
        written = value if kind == "string" else escaped(write_json(value), "<|close|>")
        return f'<|open|>argument key="{write_name(key)}" type="{kind}"<|sep|>{written}<|close|>argument<|sep|>'

    def calls_in(self, text: str) -> Iterator[Call | None]:
        """The whole calls of a text, in order."""
        for match in K3_CALL.finditer(text):
            inside = K3_ARGUMENT.findall(match[2])
            named = {read_name(k): v if kind == "string" else read_value(v) for k, kind, v in inside}
            yield as_call(read_name(match[1]), named)
