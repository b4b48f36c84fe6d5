"""What formats with tags share: the marks of a format, how they write a call and find it again."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from swift_core import hookimpl
from swift_core.contract.components import Agent
from swift_core.data.calls import as_call, read_name, read_value, write_json, write_name, write_value

Call = dict[str, Any]
Tool = dict[str, Any]

NAME = r"([^<>\n\"=|{}]+)"
"""A written name as a regular expression."""

NAMES = {"{name}": NAME, "{key}": NAME.replace("+", "*")}


@dataclass(frozen=True)
class Marks:
    """The texts around calls. A call is `open`, its arguments, `close`; an argument `key`, its value, `value_end`.

    open holds `{name}` and key `{key}`. begin, end: around all calls of a turn. joint: between two calls.
    """

    open: str
    key: str
    value_end: str
    close: str
    begin: str = ""
    end: str = ""
    joint: str = "\n"


@dataclass(kw_only=True, eq=False)
class Tagged(Agent):
    """What all formats with tags share.

    introduction: of the tools, holds `{tools}`. bare: tools are listed without what is around the function.
    system_last: what stands between the tools and the system text, where that comes behind them. result: around
    each result; around_results: around all of them; between_results: between two. before_calls: between words
    and calls of one turn.
    """

    swift_api = 1
    marks: ClassVar[Marks]
    introduction: ClassVar[str] = ""
    bare: ClassVar[bool] = False
    system_last: ClassVar[str | None] = None
    result: ClassVar[tuple[str, str]] = ("<tool_response>\n", "\n</tool_response>")
    between_results: ClassVar[str] = "\n"
    around_results: ClassVar[tuple[str, str]] = ("", "")
    before_calls: ClassVar[str] = "\n"

    @hookimpl
    def write_tools(self, tools: list[Tool], system: str) -> str:
        text = self.introduction.replace("{tools}", self.listed(tools))
        if self.system_last is not None:
            return text + (self.system_last + system if system else "")
        return f"{system}\n\n{text}" if system else text

    @hookimpl
    def write_calls(self, calls: list[Call]) -> str:
        written = [
            self.marks.open.replace("{name}", write_name(call["name"]))
            + "".join(self.argument(key, value) for key, value in call["arguments"].items())
            + self.marks.close
            for call in calls
        ]
        return self.marks.begin + self.marks.joint.join(written) + self.marks.end

    @hookimpl
    def write_results(self, results: list[str], calls: list[Call]) -> tuple[str, bool]:
        text = self.between_results.join(result.join(self.result) for result in results)
        return text.join(self.around_results), False

    @hookimpl
    def read_calls(self, text: str) -> list[Call]:
        return [call for call in self.calls_in(text) if call is not None]

    def listed(self, tools: list[Tool]) -> str:
        """The tools as JSON, one a line; bare: the function without what is around it."""
        return "\n".join(write_json(tool["function"] if self.bare else tool) for tool in tools)

    def argument(self, key: str, value: Any) -> str:
        """One argument with its tags."""
        written = write_value(value, self.marks.value_end.strip(), self.marks.close.strip())
        return self.marks.key.replace("{key}", write_name(key)) + written + self.marks.value_end

    def value(self, match: re.Match[str], text: str) -> Any:
        """An argument's value, from the match of its `key` and the text up to its end."""
        return read_value(text)

    def calls_in(self, text: str) -> Iterator[Call | None]:
        """The whole calls of a text, in order; a torn one holds none."""
        opening, place = pattern(self.marks.open), 0
        while match := opening.search(text, place):
            arguments, place = self.arguments(text, match.end())
            if arguments is not None:
                yield as_call(read_name(match[1].strip()), arguments)

    def arguments(self, text: str, place: int) -> tuple[dict[str, Any] | None, int]:
        """The arguments from `place` on and the place behind the call; None where the call is torn."""
        arguments: dict[str, Any] = {}
        key, end, close = pattern(self.marks.key), self.marks.value_end.strip(), pattern(self.marks.close)
        while match := key.match(text, place):
            behind = text.find(end, match.end())
            if behind < 0:
                return None, match.end()
            value = text[match.end() : behind]
            trimmed = value[:-1] if self.marks.value_end[0] == "\n" and value[-1:] == "\n" else value
            arguments[read_name(match[1])] = self.value(match, trimmed)
            place = behind + len(end)
        closed = close.match(text, place)
        return (arguments, closed.end()) if closed else (None, place)


@functools.cache
def pattern(mark: str) -> re.Pattern[str]:
    """A mark as a regular expression: white space may be any, save one line break before a value; names are groups."""
    expression = r"\s*" if "{key}" in mark or "{name}" not in mark else ""
    for piece in re.findall(r"\s+|\{name\}|\{key\}|[^\s{]+|\{", mark.strip()):
        expression += NAMES[piece] if piece in NAMES else r"\s*" if piece.isspace() else re.escape(piece)
    tail = r"\n?" if mark.endswith("\n") and "{key}" in mark else ""
    return re.compile(expression + tail)
