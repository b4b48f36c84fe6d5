"""Places in a raw row by path, and texts with such paths in braces: how declared layouts name what a row holds."""

from __future__ import annotations

import re
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.data.calls import write_json
from swift_core.data.values import loaded

Raw = dict[str, Any]

PATH = re.compile(r"([^\[\]{}]+)((?:\[[^\[\]{}]*\])*)")
"""A column, then steps: `[key]` of an object, `[0]` of a list, `[column]` its item of that number, `[]` each."""

FIELD = re.compile(r"\{([\w.:-]+?(?:\[[^\[\]{}]*\])*)(:\.\d+f)?\}")
"""A path in a text, with the decimals of a number behind it; JSON in a text has quotes there, so it stays."""


def value_at(raw: Raw, path: str, where: str = "row") -> Any:
    """What stands at a path; None where nothing does. Text on the way is read as JSON. A column may be called so too.

    Raises SwiftError, which begins with `where`, for a path that is none and for text that is no JSON.
    """
    if path in raw:
        return raw[path]
    match = PATH.fullmatch(path)
    if match is None:
        raise SwiftError(f"{where}: {path!r} is no path like column[key][0].")
    return _down(raw.get(match[1]), re.findall(r"\[(.*?)\]", match[2]), raw, where)


def _down(value: Any, steps: list[str], raw: Raw, where: str) -> Any:
    if not steps or value is None:
        return value
    value, (step, *rest) = loaded(value, where), steps
    if isinstance(value, dict):
        return _down(value.get(step), rest, raw, where)
    if not isinstance(value, list):
        return None
    if not step:
        return [_down(item, rest, raw, where) for item in value]
    number = step if step.isdigit() else raw.get(step)
    fits = isinstance(number, int | str) and str(number).isdigit() and int(number) < len(value)
    return _down(value[int(number or 0)], rest, raw, where) if fits else None


def filled(text: str, raw: Raw, where: str = "row") -> str | list[str] | None:
    """A text with what the row holds in place of its `{paths}`; None where one of them is not there or is empty.

    A path with `[]` gives a list, one text for each. Lists of texts are written as lines, other lists as JSON.
    """
    parts = FIELD.split(text)
    values = [value_at(raw, path, where) for path in parts[1::3]]
    if any(value is None or value == "" for value in values):
        return None
    many = next((n for n, path in enumerate(parts[1::3]) if "[]" in path), None)
    if many is None:
        return _joined(parts, values)
    return [_joined(parts, [*values[:many], value, *values[many + 1 :]]) for value in values[many]]


def paths_in(text: str) -> list[str]:
    """The paths that stand in a text."""
    return FIELD.split(text)[1::3]


def _joined(parts: list[str], values: list[Any]) -> str:
    written = [_written(value, form) for value, form in zip(values, parts[2::3], strict=True)]
    return "".join(text for pair in zip(parts[::3], [*written, ""], strict=True) for text in pair)


def _written(value: Any, form: str | None) -> str:
    if form:
        return format(float(value), form[1:])
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return value if isinstance(value, str) else write_json(value)
