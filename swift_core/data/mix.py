"""Several data sets in one, by the shares that --dataset_weights gives them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from swift_core.contract.errors import SwiftError

if TYPE_CHECKING:
    from swift_core.contract.job import Job

Item = TypeVar("Item")


def mixed(job: Job, words: list[str], sets: list[list[Item]]) -> list[Item]:
    """All rows one set after the other; under --dataset_weights as many in all, each set with its share of them.

    A set that is larger than its share is drawn from without replacement, a smaller one is repeated.
    """
    if not job.options.dataset_weights or words != job.options.dataset:  # the weights are not those of --val_dataset
        return [row for rows in sets for row in rows]
    shares = shares_of(job, words, [len(rows) for rows in sets])
    counts = _whole(shares, sum(map(len, sets)))
    told = zip(words, counts, shares, strict=True)
    job.say("mixed " + ", ".join(f"{n} rows of {word} ({share:.0%})" for word, n, share in told))
    return [row for rows, n in zip(sets, counts, strict=True) for row in take(rows, n, job.options.data_seed)]


def shares_of(job: Job, words: list[str], sizes: list[int] | None = None) -> list[float]:
    """The weights as shares of 1; SwiftError where they are not one finite number from 0 up for each data set."""
    weights = job.options.dataset_weights
    if len(weights) != len(words):
        raise SwiftError(f"--dataset_weights gives {len(weights)} weights for {len(words)} data sets: {words}.")
    if not all(0 <= w < float("inf") for w in weights) or not sum(weights):
        raise SwiftError(f"--dataset_weights must be numbers from 0 up, not all of them 0, found {weights}.")
    for word, weight, size in zip(words, weights, sizes or [1] * len(words), strict=True):
        if weight and not size:
            raise SwiftError(f"{word} holds no rows, so it cannot have the weight {weight:g}.")
    return [w / sum(weights) for w in weights]


def _whole(shares: list[float], total: int) -> list[int]:
    """Whole numbers nearest to the shares of `total` that add up to it."""
    bounds = [round(sum(shares[:n]) * total) for n in range(len(shares) + 1)]
    return [after - before for before, after in pairwise(bounds)]


def take(rows: list[Item], count: int | None, seed: int) -> list[Item]:
    """`count` rows drawn without replacement; whole repetitions first where more are asked than there are."""
    if count is None or not rows:
        return rows
    whole, rest = divmod(count, len(rows))
    return rows * whole + random.Random(seed).sample(rows, rest)


def drawn(job: Job, words: list[str], sources: list[Callable[[], Iterator[Item]]]) -> Iterator[Item]:
    """Rows whose source is drawn by its share each time, until each source was read to its end at least once.

    Raises SwiftError where a source that has a share holds no rows.
    """
    shares, chance = shares_of(job, words), random.Random(job.options.data_seed)
    running = [read() for read in sources]
    waiting = {place for place, share in enumerate(shares) if share}
    while True:
        (place,) = chance.choices(range(len(sources)), shares)
        row = next(running[place], None)
        if row is None:
            waiting.discard(place)
            if not waiting:
                return
            running[place] = sources[place]()
            row = next(running[place], None)
            if row is None:
                raise SwiftError(f"{words[place]} holds no rows, so it cannot have a weight.")
        yield row
