"""The column `label` as the head's outputs: numbers, also as text, and names of classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from swift_core import SwiftError
from swift_core.contract.row import Row
from swift_core.data.values import loaded, number_of, numbers_of


def class_names(rows: Iterable[Row]) -> list[str]:
    """The names of the classes in alphabetical order; none where the labels are numbers."""
    labels = [label for row in rows for label in _listed(row.label)]
    if all(not isinstance(label, str) or type(number_of(label)) is int for label in labels):
        return []
    return sorted({str(label) for label in labels if label is not None})


def numbered(row: Row, problem: str, names: list[str]) -> Row:
    """The row with its label as class number, class numbers or numbers; left as it is where it is none."""
    return dataclasses.replace(row, label=_label(row.label, problem, names))


def _label(label: Any, problem: str, names: list[str]) -> Any:
    if problem == "single":
        return _class(label, names)
    if problem == "multi":
        several = isinstance(label, list) or (isinstance(label, str) and label.startswith("["))
        return [_class(item, names) for item in _listed(label)] if several else label
    number = number_of(label)
    outputs = numbers_of(label) if number is None else None
    return number if number is not None else outputs if outputs is not None else label


def _class(label: Any, names: list[str]) -> Any:
    if names:
        return names.index(str(label)) if str(label) in names else label
    number = number_of(label) if isinstance(label, str) else None
    return number if type(number) is int else label


def _listed(label: Any) -> list[Any]:
    """Labels of a text with several: a list, or a list in JSON as tables hold it; else the one label."""
    if isinstance(label, str) and label.startswith("["):
        try:
            label = loaded(label, "")
        except SwiftError:
            return [label]
    return label if isinstance(label, list) else [label]
