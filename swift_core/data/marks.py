"""Marks in rows that options fill: `{{NAME}}` and `{{AUTHOR}}` of data sets in which a model speaks of itself."""

from __future__ import annotations

from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row

MARKS = {"{{NAME}}": "model_name", "{{AUTHOR}}": "model_author"}
"""Mark → the option that says what stands for it."""

LANGUAGES = ("zh", "en")
"""Values of a row's column `tag`, in the order of an option's two values."""

TEXTS = ("content", "reasoning_content")
"""Keys of a message that hold its words."""


def fill_marks(row: Row, options: Any) -> None:
    """Write the options' values for the marks of a row, into the row.

    Raises SwiftError where a mark's option is missing, or has two values and the row does not say which is meant.
    """
    for message in (*row.messages, *(row.rejected or ())):
        for key in TEXTS:
            text = message.get(key)
            if text and "{{" in text:
                message[key] = _filled(text, row, options)


def _filled(text: str, row: Row, options: Any) -> str:
    for mark, option in MARKS.items():
        if mark in text:
            text = text.replace(mark, _value(mark, option, row, getattr(options, option, [])))
    return text


def _value(mark: str, option: str, row: Row, values: list[str]) -> str:
    if not values:
        raise SwiftError(
            f"{row.where}: {mark} stands for what --{option} says, in Chinese and in English: --{option} ZH EN. "
            f"(--{option} '{mark}' leaves the mark as it is.)"
        )
    tag = row.extra.get("tag")
    if len(values) > 1 and tag not in LANGUAGES:
        raise SwiftError(
            f"{row.where}: which of --{option} {' '.join(values)} stands for {mark}? The row's column tag says it, zh "
            f"or en, and is {'not there' if tag is None else repr(tag)}. One value serves every row."
        )
    return values[LANGUAGES.index(tag) if len(values) > 1 else 0]
