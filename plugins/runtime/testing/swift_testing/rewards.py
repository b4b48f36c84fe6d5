"""Rewards made from functions, for tests of methods that learn from them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from swift_core.catalogue.entries import Catalogue, Entry
from swift_core.contract.hooks import hookimpl


class RewardOf:
    """A reward component that is one function of (rows, completions)."""

    swift_api = 1

    def __init__(self, function: Callable[[Any, list[str]], Any]):
        self.function = function

    @hookimpl
    def score(self, rows: Any, completions: list[str]) -> Any:
        """What the function gives."""
        return self.function(rows, completions)


def share_of_digits(rows: Any, completions: list[str]) -> list[float]:
    """The share of an answer's characters that are digits: a random tiny model finds it at once, and can learn it."""
    return [sum(c.isdigit() for c in text) / max(1, len(text)) for text in completions]


def share_of_odd_characters(rows: Any, completions: list[str]) -> list[float]:
    """The share of characters with an odd number: no two random answers are likely to have the same."""
    return [sum(ord(c) % 2 for c in text) / max(1, len(text)) for text in completions]


Scoring = Callable[[Any, list[str]], Any]
"""Rows and completions → rewards."""


def rewarding(function: Scoring = share_of_digits, name: str = "digits", **others: Scoring) -> Catalogue:
    """Everything installed, a reward called `name`, and others by their names."""
    module = sys.modules.setdefault("swift_test_rewards", ModuleType("swift_test_rewards"))
    catalogue = Catalogue(list(Catalogue.installed().entries))
    for called, scoring in {name: function, **others}.items():
        place = f"{called}_{id(scoring)}"
        setattr(module, place, RewardOf(scoring))
        catalogue.entries.append(Entry("reward", called, "pytest", "0", "", f"{module.__name__}:{place}"))
    return catalogue
