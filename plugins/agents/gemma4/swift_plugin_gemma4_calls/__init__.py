"""Gemma 4's tool calls: `call:name{key:value}` with texts between <|"|> marks, results inside the same turn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from swift_core import hookimpl
from swift_core.contract.components import Agent
from swift_core.data.calls import as_call, escaped, read_json, write_json

QUOTE = '<|"|>'
OPEN = re.compile(r"<\|tool_call>\s*call:\s*([^\s{}]+?)\s*(?=\{)")
CLOSE = re.compile(r"\s*<tool_call\|>")
PLAIN = re.compile(r"[^\s\"<>{}\[\],:]+")


@dataclass(kw_only=True, eq=False)
class Gemma4(Agent):
    """Gemma 4: calls and results in tags of their own, keys in alphabetical order, all in one turn of the model."""

    swift_api = 1
    before_calls = ""

    @hookimpl
    def write_tools(self, tools: list[dict[str, Any]], system: str) -> str:
        return system + "".join(f"<|tool>{declared(tool['function'])}<tool|>" for tool in tools)

    @hookimpl
    def write_calls(self, calls: list[dict[str, Any]]) -> str:
        """Ends with the mark that opens the results: the model writes it, and stops there."""
        written = [f"<|tool_call>call:{c['name']}{write(c['arguments'])}<tool_call|>" for c in calls]
        return "".join(written) + "<|tool_response>"

    @hookimpl
    def write_results(self, results: list[str], calls: list[dict[str, Any]]) -> tuple[str, bool]:
        names = [call["name"] for call in calls] + ["unknown"] * len(results)
        written = [f"response:{names[n]}{write({'value': r})}<tool_response|>" for n, r in enumerate(results)]
        return "<|tool_response>".join(written), True

    @hookimpl
    def read_calls(self, text: str) -> list[dict[str, Any]]:
        return [call for call in _calls_in(text) if call is not None]


def _calls_in(text: str) -> Iterator[dict[str, Any] | None]:
    place = 0
    while match := OPEN.search(text, place):
        pair = read(text, match.end())
        place = pair[1] if pair else match.end()
        if pair and CLOSE.match(text, place):
            yield as_call(match[1], pair[0])


# -- values -------------------------------------------------------------------------------------------------------
def write(value: Any) -> str:
    """A value in Gemma's notation: JSON, save that texts stand between marks and plain keys by themselves.

    A text that holds the mark is written as a JSON string.
    """
    if isinstance(value, str):
        return escaped(write_json(value), QUOTE) if QUOTE in value else f"{QUOTE}{value}{QUOTE}"
    if isinstance(value, dict):
        ordered = sorted(value.items(), key=lambda item: item[0].lower())
        return "{" + ",".join(f"{_key(k)}:{write(v)}" for k, v in ordered) + "}"
    if isinstance(value, list):
        return "[" + ",".join(write(v) for v in value) + "]"
    return write_json(value)


def _key(key: str) -> str:
    return key if PLAIN.fullmatch(key) else write(key)


def read(text: str, place: int) -> tuple[Any, int] | None:
    """The value that begins at `place` and the place behind it; None where none does."""
    try:
        return _read(text, place)
    except (ValueError, RecursionError):
        return None


def _read(text: str, place: int) -> tuple[Any, int]:
    if text.startswith(QUOTE, place):
        end = text.index(QUOTE, place + len(QUOTE))
        return text[place + len(QUOTE) : end], end + len(QUOTE)
    if text.startswith("{", place):
        pairs, place = _items(text, place, "}")
        return dict(pairs), place
    if text.startswith("[", place):
        return _items(text, place, "]")
    value = read_json(text, place)
    if not value:
        raise ValueError(f"no value at {place}")
    return value


def _items(text: str, place: int, close: str) -> tuple[list[Any], int]:
    """The members of an object, as pairs, or of a list, and the place behind its end."""
    members: list[Any] = []
    place = _blank(text, place + 1)
    while not text.startswith(close, place):
        if members:
            place = _behind(text, place, ",")
        item, place = _pair(text, place) if close == "}" else _read(text, place)
        members.append(item)
        place = _blank(text, place)
    return members, place + 1


def _pair(text: str, place: int) -> tuple[tuple[str, Any], int]:
    plain = PLAIN.match(text, place)
    key, place = (plain[0], plain.end()) if plain else _read(text, place)
    if not isinstance(key, str):
        raise ValueError(f"no key at {place}")
    value, place = _read(text, _behind(text, _blank(text, place), ":"))
    return (key, value), place


def _behind(text: str, place: int, mark: str) -> int:
    if not text.startswith(mark, place):
        raise ValueError(f"no {mark} at {place}")
    return _blank(text, place + 1)


def _blank(text: str, place: int) -> int:
    return place + len(text[place:]) - len(text[place:].lstrip()) if text[place : place + 1].isspace() else place


# -- declarations -------------------------------------------------------------------------------------------------
def declared(function: dict[str, Any]) -> str:
    """A tool's declaration."""
    schema = function.get("parameters") or {}
    parts = [f"description:{write(function.get('description', ''))}"]
    if schema:
        inside = [f"properties:{{{_properties(schema['properties'])}}}"] if schema.get("properties") else []
        inside += [f"required:{write(schema['required'])}"] if schema.get("required") else []
        inside.append(f"type:{write(str(schema.get('type', 'object')).upper())}")
        parts.append(f"parameters:{{{','.join(inside)}}}")
    return f"declaration:{function['name']}{{{','.join(parts)}}}"


def _properties(properties: dict[str, Any]) -> str:
    ordered = sorted(properties.items(), key=lambda item: item[0].lower())
    return ",".join(f"{name}:{{{','.join(_facts(facts))}}}" for name, facts in ordered)


def _facts(facts: dict[str, Any]) -> list[str]:
    kind = str(facts.get("type", "")).upper()
    parts = [f"description:{write(facts['description'])}"] if facts.get("description") else []
    if kind == "STRING" and facts.get("enum"):
        parts.append(f"enum:{write(facts['enum'])}")
    if kind == "ARRAY" and facts.get("items"):
        parts.append(f"items:{{{','.join(_item_facts(facts['items']))}}}")
    parts += ["nullable:true"] if facts.get("nullable") else []
    if kind == "OBJECT":
        parts += [f"properties:{{{_properties(facts['properties'])}}}"] if "properties" in facts else []
        parts += [f"required:{write(facts['required'])}"] if facts.get("required") else []
    return [*parts, f"type:{write(kind)}"]


def _item_facts(items: dict[str, Any]) -> list[str]:
    written = []
    for key, value in sorted(items.items(), key=lambda item: item[0].lower()):
        if key == "properties":
            written.append(f"properties:{{{_properties(value)}}}")
        else:
            written.append(f"{key}:{write(value.upper() if key == 'type' else value)}")
    return written
