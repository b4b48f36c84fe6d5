"""Modules that tuners add to a model. Each carries one `Addition`: what it is called, and whether it takes part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MARK = "swift_addition"
"""The attribute of an added module that holds its `Addition`; a copy of the module has a copy of it."""


@dataclass
class Addition:
    """What is known of an added module.

    key: by which its tuner finds it, `TAG_NAME`. active: whether it takes part. closed: whether other tuners leave
    the layers inside it alone.
    """

    key: str
    active: bool = True
    closed: bool = True


def mark(module: Any, addition: Addition) -> None:
    """Say that a tuner added this module."""
    setattr(module, MARK, addition)


def addition_of(module: Any) -> Addition | None:
    """What is known of a module that a tuner added; None for any other."""
    addition = getattr(module, MARK, None)
    return addition if isinstance(addition, Addition) else None


def is_active(module: Any) -> bool:
    """Whether a module takes part: one that no tuner added always does."""
    addition = addition_of(module)
    return addition is None or addition.active


def closed_modules(model: Any) -> set[int]:
    """`id` of every module that another tuner added, or that is part of one, and that is no place for more."""
    roots = [module for module in model.modules() if (addition := addition_of(module)) and addition.closed]
    return {id(module) for root in roots for module in root.modules()}
