"""From the user's `--dataset` words to lists of rows: read, convert, count, mix, split."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.contract.source import Source, read_source
from swift_core.data.convert import to_row

if TYPE_CHECKING:
    from swift_core.contract.job import Job

Item = TypeVar("Item")


def load_all(job: Job, words: list[str], need_answer: bool = True) -> list[Row]:
    """All rows of all sources, in their order, each source cut or repeated to its count.

    need_answer: refuse rows whose last turn is not the assistant's (training); False for prompts.
    """
    rows: list[Row] = []
    for word in words:
        rows += load_one(job, read_source(word, job.options.use_hf), need_answer)
    if not rows:
        raise SwiftError(f"The data sets {words} hold no rows.")
    return rows


def load_one(job: Job, source: Source, need_answer: bool = True) -> list[Row]:
    """The rows of one source; bad rows raise, or are counted and skipped under `--strict false`."""
    return convert_all(job, source, raw_rows(job, source), lambda raw: as_row(job, raw, source, need_answer))


def raw_rows(job: Job, source: Source) -> Iterable[dict[str, Any]]:
    """The rows of one source as they stand there, each with `_where`.

    Raises SwiftError where no component reads the source.
    """
    raw: Iterable[dict[str, Any]] | None = job.hook.load_rows(job=job, source=source)
    if raw is None:
        raise SwiftError(f"No data set component reads {source.text!r} (hub {source.hub}).")
    return raw


def convert_all(
    job: Job, source: Source, raw: Iterable[dict[str, Any]], convert: Callable[[dict[str, Any]], Item]
) -> list[Item]:
    """Converted rows, cut or repeated to the source's count; bad ones raise, or are skipped and counted."""
    return _take(list(converted(job, source, raw, convert)), source.count, job.options.data_seed)


def converted(
    job: Job, source: Source, raw: Iterable[dict[str, Any]], convert: Callable[[dict[str, Any]], Item]
) -> Iterator[Item]:
    """Rows as they come, converted; bad ones raise, or are skipped under `--strict false` and said at the end."""
    skipped = []
    for item in raw:
        try:
            row = convert(item)
        except SwiftError as error:
            if job.options.strict:
                raise
            skipped.append(str(error))
            continue
        yield row
    _report(job, source, skipped)


def as_row(job: Job, raw: dict[str, Any], source: Source, need_answer: bool) -> Row:
    """One raw row in the standard form, by the source's own component or the generic converter.

    Raises SwiftError where `need_answer` is set and the last message is not the assistant's.
    """
    row: Row = job.hook.to_row(job=job, raw=raw, source=source) or to_row(raw, job.options.columns)
    if need_answer and row.messages[-1]["role"] != "assistant":
        raise SwiftError(
            f"{row.where}: the last message is not the assistant's; there is nothing to learn or to compare with."
        )
    return row


def _report(job: Job, source: Source, skipped: list[str]) -> None:
    if skipped:
        job.say(f"{source.text}: skipped {len(skipped)} bad rows, the first: {skipped[0]}")


def _take(rows: list[Item], count: int | None, seed: int) -> list[Item]:
    """`count` rows drawn without replacement; whole repetitions first where more are asked than there are."""
    if count is None or not rows:
        return rows
    whole, rest = divmod(count, len(rows))
    return rows * whole + random.Random(seed).sample(rows, rest)


def split_rows(rows: list[Row], ratio: float, seed: int) -> tuple[list[Row], list[Row]]:
    """(train, held out): a `ratio` share drawn at random is held out; at least one where ratio > 0."""
    if ratio <= 0 or len(rows) < 2:
        return rows, []
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    held = set(order[: max(1, round(len(rows) * ratio))])
    return [r for i, r in enumerate(rows) if i not in held], [rows[i] for i in sorted(held)]


def batches(rows: list[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive slices of at most `size` rows."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
