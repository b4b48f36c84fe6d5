"""From the user's `--dataset` words to lists of rows: read, convert, count, mix, split."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from swift_core.contract.components import Trainer, declared
from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row, check_placeholders, check_question
from swift_core.contract.source import Layout, Source
from swift_core.data.convert import to_row
from swift_core.data.faults import BadRow, Faults, ReadOn, unforeseen
from swift_core.data.marks import fill_marks
from swift_core.data.mix import mixed, take
from swift_core.data.noticed import Noticed
from swift_core.data.sources import source_of

if TYPE_CHECKING:
    from swift_core.contract.job import Job

Item = TypeVar("Item")


def load_all(job: Job, words: list[str], need_answer: bool = True) -> list[Row]:
    """All rows of all sources, in their order, each source cut or repeated to its count, or to its share.

    need_answer: refuse rows whose last turn is not the assistant's (training); False for prompts.
    """
    sets = [load_one(job, source_of(word, job.options), need_answer) for word in words]
    rows = mixed(job, words, sets)
    if not rows:
        raise SwiftError(f"The data sets {words} hold no rows.")
    return rows


def load_one(job: Job, source: Source, need_answer: bool = True) -> list[Row]:
    """The rows of one source; bad rows raise, or are counted and skipped under `--strict false`."""
    return take(list(rows_of(job, source, need_answer)), source.count, job.options.data_seed)


def rows_of(job: Job, source: Source, need_answer: bool = True) -> Iterator[Row]:
    """The rows of one source as they are read, each once."""
    faults = Faults(job, source.text)
    raw = faults.reading(_source_rows(job, source))
    return _converted(job, source, raw, lambda item: as_row(job, item, source, need_answer), faults)


def raw_rows(job: Job, source: Source) -> Iterator[dict[str, Any]]:
    """The rows of one source as they stand there, each with `_where`; unreadable ones raise, or are skipped."""
    faults = Faults(job, source.text)
    yield from faults.reading(_source_rows(job, source))
    faults.report()


def read_rows(
    job: Job, source: Source, raw: Iterable[dict[str, Any]] | None = None
) -> Iterator[dict[str, Any] | BadRow]:
    """The rows of one source in our columns, with the error in place of each that cannot be read.

    raw: rows in the source's own columns that stand for those of the source.
    """
    return _with_bad_rows(iter(_source_rows(job, source, raw)))


def _source_rows(job: Job, source: Source, raw: Iterable[dict[str, Any]] | None = None) -> Iterable[dict[str, Any]]:
    """The rows as they stand in the source, or in our columns where its layout is declared."""
    raw = job.hook.load_rows(job=job, source=source) if raw is None else raw
    if raw is None:
        raise SwiftError(f"No data set component reads {source.text!r} (hub {source.hub}).")
    return raw if source.layout is None else ReadOn(_laid_out(job, source, source.layout, iter(raw)))


def _laid_out(
    job: Job, source: Source, layout: Layout, raw: Iterator[dict[str, Any]]
) -> Iterator[dict[str, Any] | BadRow]:
    """What the layout makes of each row. Says how many rows it does not keep."""
    left_out = 0
    for item in _with_bad_rows(raw):
        try:
            made = [item] if isinstance(item, BadRow) else layout.rows(item, job.options.columns)
        except Exception as error:  # whatever a row holds, its reader is told where
            fault = error if isinstance(error, SwiftError) else unforeseen(item.get("_where", "row"), error)
            made = [BadRow(str(fault))]
        left_out += not made
        yield from made
    if left_out:
        job.say(f"{source.text}: left out {left_out} rows that its card does not keep")


def _with_bad_rows(raw: Iterator[dict[str, Any]]) -> Iterator[Any]:
    """The rows, with the error in place of each that cannot be read."""
    while True:
        try:
            yield next(raw)
        except StopIteration:
            return
        except BadRow as error:
            yield error


def convert_all(
    job: Job, source: Source, raw: Iterable[dict[str, Any]], convert: Callable[[dict[str, Any]], Item]
) -> list[Item]:
    """Converted rows, cut or repeated to the source's count; bad ones raise, or are skipped and counted."""
    items = _converted(job, source, raw, convert, Faults(job, source.text))
    return take(list(items), source.count, job.options.data_seed)


def _converted(
    job: Job, source: Source, raw: Iterable[dict[str, Any]], convert: Callable[[dict[str, Any]], Item], faults: Faults
) -> Iterator[Item]:
    """Rows as they come, converted; what is wrong with them and what is noticed is said at the end."""
    noticed = Noticed(job, source.text)
    for item in raw:
        noticed.raw(item)
        row = faults.tried(convert, item)
        if row is not None:
            noticed.row(row)
            yield row
    faults.report()
    noticed.report()


def as_row(job: Job, raw: dict[str, Any], source: Source, need_answer: bool) -> Row:
    """One raw row in the standard form, by the source's own component or the generic converter.

    Raises SwiftError, which begins with the row's place, for a row that this job cannot use.
    """
    row: Row = job.hook.to_row(job=job, raw=raw, source=source) or _generic(job, raw, source)
    fill_marks(row, job.options)
    if need_answer and row.messages[-1]["role"] != "assistant":
        raise SwiftError(
            f"{row.where}: the last message is not the assistant's; there is nothing to learn or to compare with."
        )
    if _needs_question(job):
        check_question(row)
    if job.many("model"):
        check_placeholders(row, job.card.modality)
    return row


def _generic(job: Job, raw: dict[str, Any], source: Source) -> Row:
    return to_row(raw, job.options.columns, job.options.media_root, source.folder)


def _needs_question(job: Job) -> bool:
    """Whether a row must ask something: not in pre-training, nor where rows only calibrate a quantizer."""
    trainers = job.many("trainer")
    return declared(trainers[0].component, Trainer, "needs_question") if trainers else job.spec.name != "export"


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
