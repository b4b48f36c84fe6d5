"""Rows as they are read: sets of any size, one row at a time, never all of them in memory."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.contract.source import Source
from swift_core.data.load import rows_of
from swift_core.data.mix import drawn
from swift_core.data.sources import source_of

if TYPE_CHECKING:
    from swift_core.contract.job import Job

Item = TypeVar("Item")


class RowStream:
    """The rows of several sources, one of each in turn until all are at their ends. Each iteration reads anew.

    Under --dataset_weights the next row's source is drawn instead, and a source that ends begins anew until all have.
    A source's count takes its first rows, and reads it again where there are fewer.
    """

    def __init__(self, job: Job, words: list[str], need_answer: bool = True):
        self.job, self.words, self.need_answer = job, words, need_answer
        self.sources = [source_of(word, job.options) for word in words]

    def __iter__(self) -> Iterator[Row]:
        if self.job.options.dataset_weights:
            yield from drawn(self.job, self.words, [partial(self._counted, source) for source in self.sources])
            return
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
        rows = list(islice(self, count))
        if not rows:
            raise SwiftError(f"The data sets {[s.text for s in self.sources]} hold no rows.")
        return rows

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
        return rows_of(self.job, source, self.need_answer)


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
