"""Rows as they are read: sets of any size, one row at a time, never all of them in memory."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.contract.source import Source, read_source
from swift_core.data.load import as_row, converted, raw_rows

if TYPE_CHECKING:
    from swift_core.contract.job import Job

Item = TypeVar("Item")


class RowStream:
    """The rows of several sources, one of each in turn until all are at their ends. Each iteration reads anew.

    A source's count takes its first rows, and reads it again where there are fewer.
    """

    def __init__(self, job: Job, words: list[str], need_answer: bool = True):
        self.job, self.need_answer = job, need_answer
        self.sources = [read_source(word, job.options.use_hf) for word in words]

    def __iter__(self) -> Iterator[Row]:
        running = deque(self._counted(source) for source in self.sources)
        while running:
            row = next(running[0], None)
            if row is None:
                running.popleft()
            else:
                yield row
                running.rotate(-1)

    def first(self, count: int) -> list[Row]:
        """The first rows; SwiftError where there is none."""
        found = list(islice(self, count))
        if not found:
            raise SwiftError(f"The data sets {[s.text for s in self.sources]} hold no rows.")
        return found

    def _counted(self, source: Source) -> Iterator[Row]:
        if source.count is None:
            yield from self._once(source)
            return
        given = -1
        left = source.count
        while left and given:
            given = 0
            for row in islice(self._once(source), left):
                yield row
                given += 1
            left -= given

    def _once(self, source: Source) -> Iterator[Row]:
        raw = raw_rows(self.job, source)
        return converted(self.job, source, raw, lambda item: as_row(self.job, item, source, self.need_answer))


def shuffled(items: Iterable[Item], size: int, seed: int) -> Iterator[Item]:
    """Items in an order that is random within about `size` of them: each leaves a buffer when the next one comes."""
    chance, waiting = random.Random(seed), list[Item]()
    for item in items:
        if len(waiting) < size:
            waiting.append(item)
            continue
        place = chance.randrange(size)
        yield waiting[place]
        waiting[place] = item
    chance.shuffle(waiting)
    yield from waiting


def in_groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last may be shorter."""
    source = iter(items)
    while group := list(islice(source, size)):
        yield group
