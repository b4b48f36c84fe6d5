"""Single values of a data file as what they stand for: text, JSON, true or false, a number."""

from __future__ import annotations

import ast
import json
import math
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.data.calls import write_json

WORDS = {"true": True, "false": False, "1": True, "0": False}
"""How tables write true and false."""

BROKEN = (ValueError, SyntaxError, RecursionError, MemoryError, TypeError)
"""What the two readers of structured text raise."""


def shown(value: Any, most: int = 80) -> str:
    """A value in an error: its Python form, cut to `most` characters."""
    text = repr(value[: most + 1] if isinstance(value, str | bytes | list) else value)
    return text if len(text) <= most else f"{text[:most]} …"


def text_of(value: Any, where: str, what: str = "the content") -> str:
    """A text as it is, a number or a boolean as JSON writes it; SwiftError for everything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        try:
            return write_json(value)
        except SwiftError:
            pass
    kind = shown(value) if isinstance(value, int | float) else type(value).__name__
    raise SwiftError(f"{where}: {what} must be text, found {kind}.")


def loaded(value: Any, where: str) -> Any:
    """Text that holds JSON, or a Python literal as tables do, as its value; everything else as it is.

    Raises SwiftError, which begins with `where`, for other text.
    """
    if not isinstance(value, str):
        return value
    for read in (_from_json, ast.literal_eval):
        try:
            return read(value)
        except BROKEN:
            continue
    raise SwiftError(f"{where}: expected JSON, found {shown(value, 60)}.")


def _from_json(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def truth_of(value: Any) -> bool | None:
    """true or false from a boolean, 0 or 1, or the word for it; None where it is neither."""
    if isinstance(value, str):
        return WORDS.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int | float) and value in (0, 1) else None


def number_of(value: Any) -> float | int | None:
    """A finite number, given as such or as text; None where it is none. true and false are no numbers."""
    if isinstance(value, str):
        value = _from_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def _from_text(text: str) -> float | int | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def numbers_of(value: Any) -> list[float | int] | None:
    """Finite numbers from a list of them, given as such or as text; None where one is none."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except BROKEN:
            return None
    numbers = [number_of(v) for v in value] if isinstance(value, list) else [None]
    return None if None in numbers else [v for v in numbers if v is not None]


def without_nulls(value: Any) -> Any:
    """A value without the keys that are null: Arrow fills them in where the rows of a table differ.

    Nulls in lists stay: there they are values.
    """
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value
