"""MiniMax M3: a tag named after each argument, objects and lists as tags inside tags."""

from __future__ import annotations

import re
from typing import Any

from swift_core.data.calls import read_name, read_value, write_name, write_value
from swift_plugin_tagged_calls.attributes import MinimaxM2
from swift_plugin_tagged_calls.base import Marks, Tagged, pattern

SIGN = "]<]minimax[>["
OPENED = re.compile(re.escape(SIGN) + r"<([^<>]*)>")


class MinimaxM3(Tagged):
    """MiniMax M3: every argument is a tag of its own behind a sign, objects and lists are tags inside tags."""

    marks = Marks(
        SIGN + '<invoke name="{name}">',
        SIGN + "<{key}>",
        SIGN + "</{key}>",
        SIGN + "</invoke>\n",
        SIGN + "<tool_call>\n",
        SIGN + "</tool_call>",
        joint="",
    )
    introduction = (
        MinimaxM2.introduction.partition("When making")[0]
        + "To call tools, wrap all invocations in a single ~<tool_call>~</tool_call> block. Parameter values "
        + "containing nested objects or arrays are recursively expanded into XML elements. Example:\n\n"
        + '~<tool_call>\n~<invoke name="tool-name-1">~<param-1>value-1~</param-1>~<param-2>~<item>~<key-a>val-a'
        + "~</key-a>~<key-b>val-b~</key-b>~</item>~</param-2>~</invoke>\n"
        + '~<invoke name="tool-name-2">~<param-1>value-1~</param-1>~</invoke>\n~</tool_call>'
    ).replace("~", SIGN)
    result = "<response>", "</response>"
    listed = MinimaxM2.listed

    def argument(self, key: str, value: Any) -> str:
        name = write_name(key)
        return f"{SIGN}<{name}>{self.nested(value)}{SIGN}</{name}>"

    def nested(self, value: Any) -> str:
        """A value: tags for an object or a list that has any, else as between other tags."""
        if isinstance(value, dict) and value and set(value) != {"item"}:
            return "".join(self.argument(str(k), v) for k, v in value.items())
        if isinstance(value, list) and value:
            return "".join(self.argument("item", v) for v in value)
        return write_value(value, SIGN)

    def arguments(self, text: str, place: int) -> tuple[dict[str, Any] | None, int]:
        pairs, place = self.elements(text, place)
        closed = pattern(self.marks.close).match(text, place)
        return (dict(pairs), closed.end()) if closed and pairs is not None else (None, place)

    def elements(self, text: str, place: int) -> tuple[list[tuple[str, Any]] | None, int]:
        """(name, value) of the tags from `place` on, and the place behind them; None where one is torn."""
        pairs = []
        while match := OPENED.match(text, place):
            if match[1].startswith("/"):
                break
            value, place = self.element(text, match.end())
            end = f"{SIGN}</{match[1]}>"
            if not text.startswith(end, place):
                return None, place
            pairs.append((read_name(match[1]), value))
            place += len(end)
        return pairs, place

    def element(self, text: str, place: int) -> tuple[Any, int]:
        """The value that begins at `place`, and the place behind it."""
        if not OPENED.match(text, place) or text.startswith(SIGN + "</", place):
            behind = text.find(SIGN, place)
            behind = len(text) if behind < 0 else behind
            return read_value(text[place:behind]), behind
        inside, place = self.elements(text, place)
        if inside and all(name == "item" for name, _ in inside):
            return [value for _, value in inside], place
        return dict(inside or []), place
