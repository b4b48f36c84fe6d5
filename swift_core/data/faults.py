"""Rows that cannot be used: named with their place, or skipped and counted under `--strict false`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from swift_core.contract.errors import SwiftError

if TYPE_CHECKING:
    from swift_core.contract.job import Job

Item = TypeVar("Item")

NAMED = 10
"""How many of the skipped rows are named."""

LONGEST = 400
"""Characters of an error that are shown in a list of several."""


class BadRow(SwiftError):
    """A row that cannot be read. Those behind it can."""


class ReadOn(Iterator[Any]):
    """Raw rows of a reader. At a bad one `next` raises it, and the next call goes on behind it.

    items: the rows, with a `BadRow` in place of each that cannot be read. An exception that they raise is the end.
    """

    def __init__(self, items: Iterator[Any]):
        self.items = items

    def __next__(self) -> Any:
        item = next(self.items)
        if isinstance(item, BadRow):
            raise item
        return item


class Faults:
    """What is wrong with the rows of one source: the first is raised, or all are counted under `--strict false`."""

    def __init__(self, job: Job, name: str):
        self.job, self.name = job, name
        self.count, self.first = 0, list[str]()

    def add(self, error: SwiftError) -> None:
        """Raise the error, or note it."""
        if self.job.options.strict:
            raise error
        self.count += 1
        self.first += [str(error)] if self.count <= NAMED else []

    def tried(self, convert: Callable[[Any], Item], item: Any) -> Item | None:
        """What `convert` makes of a raw row; None where it cannot and rows may be skipped."""
        try:
            return convert(item)
        except SwiftError as error:
            self.add(error)
        except Exception as error:  # whatever a data file holds, its reader is told where
            self.add(unforeseen(item.get("_where", "row"), error))
        return None

    def reading(self, raw: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Raw rows without those that the reader cannot read."""
        rows = iter(raw)
        while True:
            try:
                yield next(rows)
            except StopIteration:
                return
            except BadRow as error:
                self.add(error)

    def report(self) -> None:
        """Tell the user how many rows were skipped, and which came first."""
        if self.count:
            self.job.say(f"{self.name}: skipped {self.count} bad rows{listed(self.count, self.first)}")


def listed(count: int, first: list[str]) -> str:
    """`, the first: …` or `, the first 10: …`, one to a line, for the end of a sentence that says how many."""
    if count == 1 or len(first) == 1:
        return f", the first: {first[0]}"
    lines = "".join(f"\n  {text[:LONGEST]}{' …' * (len(text) > LONGEST)}" for text in first)
    return f", the first {len(first)}:{lines}"


def unforeseen(where: str, error: Exception) -> SwiftError:
    """The error for a row that makes a part of the program stumble, with what it stumbled over."""
    fault = SwiftError(f"{where}: the row cannot be used ({type(error).__name__}: {str(error)[:200]}).")
    fault.__cause__ = error
    return fault
