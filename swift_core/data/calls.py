"""Tool calls as JSON inside text: written so that every reader agrees, and found again."""

from __future__ import annotations

import json
from typing import Any

from swift_core.contract.errors import SwiftError

Call = dict[str, Any]


def write_json(value: Any) -> str:
    """`value` as one line of valid JSON; SwiftError where JSON has no word for it (NaN, infinity)."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError) as error:
        raise SwiftError(f"A tool or tool call cannot be written as JSON ({error}): {str(value)[:200]}") from None


def read_json(text: str, start: int) -> tuple[Any, int] | None:
    """The JSON value that begins at `start`, and the place behind it; None where none begins there."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def escaped(text: str, *marks: str) -> str:
    """JSON text, or what stands between the quotes of a JSON string, without any of `marks`.

    A mark inside a string loses its first letter to an escape, which means the same to every JSON reader.
    """
    for mark in marks:
        text = text.replace(mark, f"\\u{ord(mark[0]):04x}{mark[1:]}")
    return text


def write_value(value: Any, *marks: str) -> str:
    """A value between tags: a text as it is, everything else as JSON.

    A text is written as JSON too where `read_value` would take it for something else, as it would "2" or
    "true", and where it holds one of `marks`, which end a value.
    """
    if isinstance(value, str) and read_value(value) == value and not any(mark in value for mark in marks):
        return value
    return escaped(write_json(value), *marks)


def read_value(text: str) -> Any:
    """What `write_value` wrote: the JSON value that a text is as a whole, else the text itself."""
    pair = read_json(text, 0)
    return pair[0] if pair and pair[1] == len(text) else text


def write_name(name: str) -> str:
    """A name between tags or quotes: plain words as they are, others escaped as inside a JSON string."""
    return "".join(c if c.isalnum() or c in "_-. " else _escape(c) for c in name)


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if character.isascii() else json.dumps(character)[1:-1]


def read_name(text: str) -> str:
    """What `write_name` wrote."""
    pair = read_json(f'"{text}"', 0)
    return str(pair[0]) if pair and pair[1] == len(text) + 2 else text


def as_call(name: Any, arguments: Any) -> Call | None:
    """A call as the hooks exchange them; None where a model wrote something else."""
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return None
    return {"name": name, "arguments": arguments}
