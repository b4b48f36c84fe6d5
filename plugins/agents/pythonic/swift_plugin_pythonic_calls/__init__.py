"""Tool calls as Python expressions: `[name(key='text', number=2, nested={"a": 1})]`, as LFM2 writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from swift_core import hookimpl
from swift_core.contract.components import Agent
from swift_core.data.calls import as_call, escaped, read_json, read_name, write_json, write_name

OPEN = re.compile(r"<\|tool_call_start\|>\s*\[")
NAME = re.compile(r"\s*([^\s<>\"'=|{}\[\](),]+)\(")
KEY = re.compile(r"([^<>\"'|{}\[\](),\n=]*)=")
TEXT = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
WORDS = {"True": True, "False": False, "None": None}
WORD = re.compile("|".join(WORDS))


@dataclass(kw_only=True, eq=False)
class Lfm2(Agent):
    """LFM2: calls as Python between tags, texts in single quotes, objects and lists as JSON."""

    swift_api = 1
    before_calls = ""

    @hookimpl
    def write_tools(self, tools: list[dict[str, Any]], system: str) -> str:
        listed = ", ".join(write_json(tool) for tool in tools)
        return f"{system}{chr(10) if system else ''}List of tools: <|tool_list_start|>[{listed}]<|tool_list_end|>"

    @hookimpl
    def write_calls(self, calls: list[dict[str, Any]]) -> str:
        return f"<|tool_call_start|>[{', '.join(_call(call) for call in calls)}]<|tool_call_end|>"

    @hookimpl
    def write_results(self, results: list[str]) -> tuple[str, bool]:
        frame = "<|tool_response_start|>", "<|tool_response_end|>"
        return "<|im_end|>\n<|im_start|>tool\n".join(result.join(frame) for result in results), False

    @hookimpl
    def read_calls(self, text: str) -> list[dict[str, Any]]:
        calls = [call for match in OPEN.finditer(text) for call in _listed(text, match.end())]
        return [call for call in calls if call is not None]


@dataclass(kw_only=True, eq=False)
class Lfm25(Lfm2):
    """LFM2.5: as LFM2, but tools and results stand without tags around them."""

    @hookimpl
    def write_tools(self, tools: list[dict[str, Any]], system: str) -> str:
        return f"{system}{chr(10) if system else ''}List of tools: [{', '.join(write_json(tool) for tool in tools)}]"

    @hookimpl
    def write_results(self, results: list[str]) -> tuple[str, bool]:
        return "<|im_end|>\n<|im_start|>tool\n".join(results), False


def _call(call: dict[str, Any]) -> str:
    arguments = ", ".join(f"{write_name(key)}={_value(value)}" for key, value in call["arguments"].items())
    return f"{write_name(call['name'])}({arguments})"


def _value(value: Any) -> str:
    if isinstance(value, str):
        escaped_text = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
        return f"'{escaped_text}'"
    if value is None or isinstance(value, bool):
        return str(value)
    return escaped(write_json(value), "<|tool_call")


def _listed(text: str, place: int) -> Iterator[dict[str, Any] | None]:
    """The calls of a list that begins at `place`; none where it is torn."""
    calls = []
    while match := NAME.match(text, place):
        inside = _arguments(text, match.end())
        if inside is None:
            return
        arguments, place = inside
        calls.append(as_call(read_name(match[1]), arguments))
        place += text.startswith(",", place)
    if text.startswith("]", place):
        yield from calls


def _arguments(text: str, place: int) -> tuple[dict[str, Any], int] | None:
    """The arguments up to the closing parenthesis and the place behind it; None where there is none."""
    arguments: dict[str, Any] = {}
    while match := KEY.match(text, place):
        value = _read(text, match.end())
        if value is None:
            return None
        arguments[read_name(match[1])], place = value
        place += 2 if text.startswith(", ", place) else int(text.startswith(",", place))
    return (arguments, place + 1) if text.startswith(")", place) else None


def _read(text: str, place: int) -> tuple[Any, int] | None:
    """The value at `place`, and the place behind it."""
    if match := TEXT.match(text, place):
        return _unescaped(match[1]), match.end()
    if match := WORD.match(text, place):
        return WORDS[match[0]], match.end()
    return read_json(text, place)


def _unescaped(text: str) -> str:
    letters = {"n": "\n", "r": "\r", "t": "\t"}
    return re.sub(r"\\(.)", lambda m: letters.get(m[1], m[1]), text, flags=re.DOTALL)
